/** Which roles may call which routes. */
import type { Access, KeyRole } from "../../dialects/route.ts";

const ROLES_BY_ACCESS = {
  open: ["read", "submit", "work", "admin"],
  read: ["read", "submit", "work", "admin"],
  submit: ["submit", "admin"],
  work: ["work", "admin"],
  write: ["submit", "work", "admin"],
  admin: ["admin"],
} as const satisfies Readonly<Record<Access, readonly KeyRole[]>>;

/** The roles that may call a route of that access. */
export function rolesFor(access: Access): readonly KeyRole[] {
  return ROLES_BY_ACCESS[access];
}
