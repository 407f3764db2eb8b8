import { describe, expect, it } from 'vitest';
import { SystemSource } from '../random/source.js';
import { readShippedTable, shippedTables } from '../shipped.js';
import { decodeTable } from '../table/format.js';
import { auditTable } from './table-audit.js';

describe('audit over a million draws', async () => {
  it.each(await shippedTables())('stays below the certificate of $name, though near it', async ({ name }) => {
    const table = decodeTable(await readShippedTable(name));
    const { certificate, drawn, holds } = auditTable(table, { source: new SystemSource(), draws: 1_000_000 });
    expect(holds).toBe(true);
    expect(drawn.epsilonAtLeast).toBeLessThan(certificate.epsilon);
    expect(drawn.epsilonAtLeast).toBeGreaterThan((table.stage === null ? 0.9 : 0.7) * certificate.epsilon);
  });
});
