/**
 * The small shell scripts between the agent and a confined job. Values come as arguments, never as text of
 * a script.
 *
 * LAUNCHER runs outside the sandbox: it joins the job's control groups and becomes the job, or bubblewrap. Nothing
 * of the job's environment may reach it then (`LD_PRELOAD` would run foreign code outside), so bubblewrap reads it
 * from standard input.
 *
 * KEEPER runs inside and stays beside the job, for bubblewrap tells an exit code of 137 and a death by SIGKILL
 * apart no more. Shells say on their standard error when a child died by a signal; the keeper's is the status file.
 * It catches the signals that reach the job's group, so that it outlives the job; in the job they do what they do.
 */

import { WHOLE_MARKER } from "./bubblewrap.ts";

/**
 * Options before the program. Variables that shells and bubblewrap add are taken away: a job's environment is its own.
 * Limits here need no control group.
 * `processes` counts inside a user namespace of its own, else for the whole user.
 */
const TAKE_OPTIONS = `
while [ "$1" != -- ]; do
  value=\${1#*=}
  case $1 in
    join=*) echo 0 > "$value" || exit 125 ;;
    input=*) exec 6<&0 <"$value" ;;
    data-kib=*) ulimit -d "$value" ;;
    cpu-s=*) ulimit -S -t "$value"; ulimit -H -t $((value + 5)) ;;
    processes=*) { ulimit -u "$value" || ulimit -p "$value"; } 2>/dev/null ;;
    core=*) ulimit -c "$value" ;;
  esac
  shift
done
shift
unset PWD OLDPWD SHLVL`;

/** Looks for the program as \`execvp\` does: a shell's own search would take its builtins for programs. */
const LOOK_FOR_PROGRAM = `
look() {
  case $1 in
    */*) check "$1"; return ;;
  esac
  left=$PATH: verdict=missing
  while [ -n "$left" ]; do
    folder=\${left%%:*}; left=\${left#*:}
    check "\${folder:-.}/$1"
    [ "$found" = yes ] && return
    [ "$found" = locked ] && verdict=locked
  done
  found=$verdict
}
check() {
  if [ -f "$1" ] && [ -x "$1" ]; then found=yes
  elif [ -e "$1" ]; then found=locked
  else found=missing; fi
}
look "$1"`;

/** Arguments: options, `--`, program and its arguments. */
export const LAUNCHER = `${TAKE_OPTIONS}
exec "$@"`;

/** The same for a job without a sandbox, which it becomes: its end needs no keeper. */
export const LIMITER = `
exec 5>&2 2>&3 3>&-
${TAKE_OPTIONS}
${LOOK_FOR_PROGRAM}
if [ "$found" != yes ]; then echo "$found" >&2; exit 127; fi
echo begun >&2
exec "$@" 2>&5 5>&-`;

/**
 * The same arguments; the status file is descriptor 3. Bubblewrap's arguments end with a mark: where it is
 * missing, the agent died while it wrote them, and the sandbox is not whole.
 */
export const KEEPER = `
[ "$${WHOLE_MARKER}" = yes ] || exit 125
unset ${WHOLE_MARKER}
exec 5>&2 2>&3 3>&-
${TAKE_OPTIONS}
${LOOK_FOR_PROGRAM}
if [ "$found" != yes ]; then echo "$found" >&2; exit 127; fi
trap : HUP INT QUIT TERM USR1 USR2 ALRM PIPE XCPU
echo begun >&2
(exec "$@" 2>&5 5>&-)
code=$?
echo "end $code" >&2
exit "$code"`;

/** The descriptor on which the launcher hands bubblewrap its arguments. */
export const ARGUMENTS_FD = 6;

/** What the status file says. */
export interface KeeperStatus {
  /** `missing` or `locked` (there, but not executable) when the program was never started. */
  readonly refusal: "missing" | "locked" | null;
  readonly hasBegun: boolean;
  /** Null when the keeper was ended before the job. */
  readonly exitCode: number | null;
  /** The job died by a signal; `exitCode` is then 128 and its number. */
  readonly isSignal: boolean;
}

/** Shells say nothing of a child that died by these. */
const SILENT_SIGNALS: readonly number[] = [2, 13];

/** Reads the status file. A job could write there too, but only about itself. */
export function readKeeperStatus(text: string): KeeperStatus {
  const lines = text.split("\n").filter((line) => line !== "");
  const [first] = lines;
  if (first === "missing" || first === "locked") {
    return { refusal: first, hasBegun: false, exitCode: null, isSignal: false };
  }
  const hasBegun = lines.includes("begun");
  const ended = /^end (\d{1,3})$/.exec(lines.at(-1) ?? "");
  if (ended === null) return { refusal: null, hasBegun, exitCode: null, isSignal: false };
  const exitCode = Number(ended[1]);
  const words = lines.slice(lines.indexOf("begun") + 1, -1);
  const isSignal = exitCode > 128 && (words.length > 0 || SILENT_SIGNALS.includes(exitCode - 128));
  return { refusal: null, hasBegun, exitCode, isSignal };
}
