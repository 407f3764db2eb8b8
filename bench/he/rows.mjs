// One row of a benchmark: a JSON line with the same fields for us and for every peer.

/** Shortest wall and CPU time of `repeat` runs of `work`; the last result. Earlier results go to `drop`. */
export function best(repeat, work, drop = () => {}) {
  let [ms, cpuMs, result] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, undefined];
  for (let i = 0; i < repeat; i++) {
    if (i > 0) drop(result);
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    result = work();
    ms = Math.min(ms, performance.now() - startMs);
    const { user, system } = process.cpuUsage(cpu);
    cpuMs = Math.min(cpuMs, (user + system) / 1000);
  }
  return { times: { ms, cpuMs }, result };
}

/** rms and worst bits of got - want over all components; `want` repeats with its length. */
export function precision(got, want) {
  let [squares, worst, count] = [0, 0, 0];
  for (const part of ['re', 'im']) {
    if (got[part] === null) continue;
    got[part].forEach((value, i) => {
      const error = Math.abs(value - (want[part]?.[i % want.re.length] ?? 0));
      squares += error * error;
      worst = Math.max(worst, error);
      count++;
    });
  }
  return { bits: -Math.log2(Math.sqrt(squares / count)), bitsWorst: -Math.log2(worst) };
}

const round = (value) => (typeof value === 'number' ? Number(value.toPrecision(5)) : (value ?? null));

/** The row with its fields in one order, as text. Missing ones are null. */
export function rowText(row) {
  const { peer, backend, version, op, params, threads, ms, cpuMs, bits, bitsWorst, ...rest } = row;
  const { levelsOut, logQP, securityBits, keyBytes, peakRssMB, concurrent, referenceMs: reference } = rest;
  return JSON.stringify({
    peer,
    ...(backend ? { backend } : {}),
    version,
    op,
    params,
    threads,
    ms: round(ms),
    cpuMs: round(cpuMs),
    bits: round(bits),
    bitsWorst: round(bitsWorst),
    levelsOut: levelsOut ?? null,
    logQP: round(logQP),
    securityBits: securityBits ?? null,
    keyBytes: keyBytes ?? null,
    peakRssMB: peakRssMB ?? null,
    ...(concurrent ? { concurrent } : {}),
    ...(reference === undefined ? {} : { referenceMs: round(reference) }),
  });
}

/** A printer of our rows. */
export function rowPrinter(backend, params, version, reference) {
  return (op, times, more = {}) =>
    console.log(
      rowText({
        peer: 'sotto',
        backend: `${backend.name} ${backend.isa}`,
        version,
        op,
        params: params.name,
        threads: backend.threads,
        ...times,
        logQP: params.logQP,
        securityBits: params.security.bits,
        peakRssMB: Math.round(process.resourceUsage().maxRSS / 1000),
        referenceMs: reference,
        ...more,
      }),
    );
}
