/**
 * The worker that holds the jobs of clients that do not say who they are. Its id has a character that no
 * client's id can have, so nobody can register under it and give back what others run.
 */
export const UNNAMED_CLIENT = "whatsnext.unnamed";
