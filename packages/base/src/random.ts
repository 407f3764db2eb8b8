/** Cryptographically secure bytes from the platform. */
export function randomBytes(sizeBytes: number): Uint8Array {
  const out = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 65536) {
    globalThis.crypto.getRandomValues(out.subarray(at, Math.min(sizeBytes, at + 65536)));
  }
  return out;
}
