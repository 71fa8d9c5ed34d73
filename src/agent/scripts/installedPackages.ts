/** What is installed for a Python, as provenance lists it. */

/** Sorted `name==version` of all that is installed for the Python that runs it, in `listed`. */
export const LIST_OWN_PACKAGES = `
import importlib.metadata as metadata
names = {}
for found in metadata.distributions():
    name = found.metadata["Name"]
    if name: names.setdefault(name.lower(), name + "==" + str(found.version))
listed = [names[name] for name in sorted(names)]`;

/**
 * A program that lists what is in an environment, sorted, as JSON. It is for an interpreter that does not begin with
 * what lies there: `.pth` files of packages are code. Its arguments are the environment's folder, and those of the installers' packages
 * that were asked for; the others are left out unless a package needs them, so that every installer's list is the same.
 *
 * What came from an index is `name==version`. What came from an address is `name @ address`, as `pip freeze` has it: without
 * user, password and query, with the commit or the archive's hash (PEP 610). Where the installer told neither, as `uv` of
 * archives, the hash is that of the installed files, since others may have the same name and version.
 */
export const LIST_ENVIRONMENT = `
import glob, hashlib, json, os, re, stat, sys
import importlib.metadata as metadata
from urllib.parse import urlsplit

INSTALLERS = {"pip", "setuptools", "wheel", "uv"}

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

def file_hash(path):
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode): return "no file"
        digest = hashlib.sha256()
        with open(path, "rb") as opened:
            for piece in iter(lambda: opened.read(1 << 20), b""): digest.update(piece)
        return digest.hexdigest()
    except OSError:
        return "unreadable"

def contents_hash(found):
    # What installers write about a package is not of it, nor is what lies elsewhere: it names the environment.
    digest = hashlib.sha256()
    for file in sorted(found.files or [], key=str):
        if ".." in file.parts or file.suffix == ".pyc" or file.parts[0].endswith(".dist-info"): continue
        line = str(file) + "\\0" + file_hash(found.locate_file(file)) + "\\n"
        digest.update(line.encode("utf8", "replace"))
    return digest.hexdigest()

def archive_hash(info):
    hashes = dict(info.get("hashes") or {})
    name, _, value = (info.get("hash") or "").partition("=")
    if value: hashes.setdefault(name, value)
    name = "sha256" if "sha256" in hashes else min(hashes, default=None)
    return None if name is None else name + "=" + hashes[name]

def address_of(found):
    said = json.loads(found.read_text("direct_url.json") or "null")
    if said is None: return None
    url = urlsplit(said["url"])
    address = url.scheme + "://" + url.netloc.rpartition("@")[2] + url.path + ("?\\u2026" if url.query else "")
    notes = ["subdirectory=" + said["subdirectory"]] if said.get("subdirectory") else []
    vcs = said.get("vcs_info")
    if vcs:
        address = vcs["vcs"] + "+" + address + "@" + vcs["commit_id"]
    else:
        notes.append(archive_hash(said.get("archive_info") or {}) or "contents-sha256=" + contents_hash(found))
    return address + ("#" + "&".join(notes) if notes else "")

def line_of(found, name):
    try:
        address = address_of(found)
    except Exception:
        address = "?#contents-sha256=" + contents_hash(found)
    return name + "==" + str(found.version) if address is None else name + " @ " + address

def listed(distributions, asked):
    lines, needed = {}, set(asked)
    for found in distributions:
        name = (found.metadata or {})["Name"]
        if not name or plain(name) in lines: continue
        lines[plain(name)] = line_of(found, name)
        if plain(name) in INSTALLERS: continue
        for line in found.requires or []:
            begin = re.match("[A-Za-z0-9][A-Za-z0-9._-]*", line)
            if begin and not re.search(r";.*\\bextra\\b", line): needed.add(plain(begin.group()))
    return [lines[name] for name in sorted(lines) if name in needed or name not in INSTALLERS]

folder, asked = sys.argv[1], sys.argv[2:]
pattern = os.path.join(glob.escape(folder), "lib*", "*", "site-packages")
places = sorted({os.path.realpath(place) for place in glob.glob(pattern)})
print(json.dumps(listed(metadata.distributions(path=places), asked)))
`;
/** What `LIST_ENVIRONMENT` may say: more is no list of packages. */
export const MAX_LIST_BYTES = 8 * 1024 * 1024;

/** Packages listed, characters of each, and of all: more than any environment has. */
const MAX_PACKAGES = 5_000;
const MAX_PACKAGE_CHARACTERS = 1_000;
const MAX_LIST_CHARACTERS = 1_000_000;

/** A list of packages as it is kept: names of strange packages may hold what texts must not. */
export function packageList(lines: readonly unknown[]): readonly string[] {
  let characters = 0;
  return lines
    .map((line) =>
      String(line)
        .slice(0, MAX_PACKAGE_CHARACTERS)
        .toWellFormed()
        .replaceAll(/[\0\r\n]/g, "\ufffd")
        .trim(),
    )
    .filter((line) => line !== "")
    .slice(0, MAX_PACKAGES)
    .filter((line) => {
      characters += line.length;
      return characters <= MAX_LIST_CHARACTERS;
    });
}
