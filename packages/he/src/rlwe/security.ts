import type { SecretKind, SecurityReport } from './parameters.js';
import { SECURITY_ROWS, SECURITY_SOURCE, type SecurityRow } from './security-table.js';

/** A modulus that a secret meets, e.g. the largest key-switching modulus. */
export interface SecurityQuery {
  logN: number;
  secret: SecretKind;
  /** log2 of the largest modulus under which this secret is used, special primes included. */
  logQP: number;
}

/** The row for a ring degree; a weight between rows takes the next lower one. Undefined when the degree or weight is below the table. */
export function findSecurityRow(logN: number, secret: SecretKind): SecurityRow | undefined {
  const ofDegree = SECURITY_ROWS.filter((row) => row.logN === logN);
  if (secret.kind === 'uniformTernary') return ofDegree.find((row) => row.weight === null);
  let found: SecurityRow | undefined;
  for (const row of ofDegree) {
    if (row.weight !== null && row.weight <= secret.weight && (!found || row.weight > found.weight!))
      found = row;
  }
  return found;
}

/**
 * Classical bits from the table: exact at its 128, 192 and 256-bit columns, in between linear in 1/logQP (the strength of LWE
 * falls like 1/logQ at fixed dimension). Past the last column the last value is kept: the claim never exceeds what was computed.
 */
export function securityBits(query: SecurityQuery): number {
  const row = findSecurityRow(query.logN, query.secret);
  if (!row) return 0;
  const columns: [logQP: number, bits: number][] = [[row.logQP128, 128]];
  if (row.logQP192 !== null) columns.push([row.logQP192, 192]);
  if (row.logQP256 !== null) columns.push([row.logQP256, 256]);
  for (const [atLogQP, bits] of row.points ?? []) columns.push([atLogQP, bits]);
  const logQP = Math.ceil(query.logQP);
  if (logQP > row.logQP128) return Math.floor((128 * row.logQP128) / logQP);
  for (let i = 1; i < columns.length; i++) {
    const [high, bitsHigh] = columns[i - 1];
    const [low, bitsLow] = columns[i];
    if (logQP >= low) {
      const t = (1 / logQP - 1 / high) / (1 / low - 1 / high);
      return Math.floor(bitsHigh + t * (bitsLow - bitsHigh));
    }
  }
  return columns[columns.length - 1][1];
}

/** Holds the largest modulus of a secret against the table. */
export function reportSecurity(query: SecurityQuery): SecurityReport {
  const row = findSecurityRow(query.logN, query.secret);
  const logQP = Math.ceil(query.logQP);
  const limit = row?.logQP128 ?? 0;
  const ring = row?.logQP128Ring ?? 0;
  return {
    logQPLimit: limit,
    logQP: query.logQP,
    bits: securityBits(query),
    source: SECURITY_SOURCE,
    warning:
      logQP > ring && logQP <= limit
        ? `sparse secret: log QP ${logQP} is above ${ring}, the stricter limit that lets one lattice reduction serve all ring rotations`
        : null,
  };
}
