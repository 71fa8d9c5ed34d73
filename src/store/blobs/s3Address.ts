/** `s3://bucket/prefix`: a bucket as the protocol allows it, and a prefix without empty parts. */
export const S3_ADDRESS =
  /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/((?:[\w!.*'()-]+\/)*[\w!.*'()-]+)?\/?)?$/;
