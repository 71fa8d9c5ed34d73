import { describe, expect, test } from "bun:test";
import { type AddressRules, checkUrl, isRefusedAddress } from "../../../src/agent/binaries/addressRules.ts";

const open: AddressRules = { allowUrlPrefixes: [], allowLinkLocal: false };

function isRefused(url: string, rules: AddressRules = open): boolean {
  try {
    checkUrl(new URL(url), rules);
    return false;
  } catch {
    return true;
  }
}

describe("addresses", () => {
  test.each([
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
  ])("%s is link-local or a metadata service", (address) => expect(isRefusedAddress(address)).toBe(true));

  test.each([
    "127.0.0.1",
    "10.0.0.1",
    "169.253.255.255",
    "100.100.100.201",
    "::1",
    "fec0::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
  ])("%s is neither", (address) => expect(isRefusedAddress(address)).toBe(false));

  test.each([
    "http://2852039166/latest",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://[::ffff:169.254.169.254]/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.google.internal./",
    "file:///etc/passwd",
    "ftp://example.com/x",
  ])("%s is refused", (url) => {
    expect(isRefused(url)).toBe(true);
    expect(isRefused(url, { ...open, allowLinkLocal: true })).toBe(/^(file|ftp)/.test(url));
  });
});

describe("prefixes", () => {
  const rules: AddressRules = {
    ...open,
    allowUrlPrefixes: ["https://files.example/tools/", "http://10.0.0.1:8080"],
  };

  test.each([
    "https://files.example/tools/a",
    "https://FILES.example:443/tools/b?c=d",
    "http://10.0.0.1:8080/x",
  ])("%s is allowed", (url) => expect(isRefused(url, rules)).toBe(false));

  test.each([
    "https://files.example/other",
    "https://files.example/tools",
    "https://files.example.org/tools/a",
    "https://files.example@evil.example/tools/a",
    "http://files.example/tools/a",
    "http://10.0.0.1:80801/",
    "http://10.0.0.1/x",
    "https://files.example/tools/../secret",
    "https://files.example/tools/%2e%2e/secret",
    "https://files.example/tools/..%2fsecret",
    "https://files.example/tools/x%5c..%5csecret",
  ])("%s is not", (url) => {
    const parsed = URL.parse(url);
    expect(parsed === null || isRefused(url, rules)).toBe(true);
  });
});
