/** The value below which a share of all lies, by nearest rank; null of nothing. */
export function quantile(values, share) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

export const round = (value, digits = 1) => (value === null ? null : Number(value.toFixed(digits)));

/** Count, median, p99 and largest of a list of milliseconds. */
export const spread = (values) => ({
  count: values.length,
  medianMs: round(quantile(values, 0.5), 2),
  p99Ms: round(quantile(values, 0.99), 2),
  worstMs: round(quantile(values, 1), 2),
});

/**
 * Growth of a measured quantity: its mean in the last quarter of the time after `warmUpMs` against the first quarter of it.
 *
 * @param {readonly { atMs: number, value: number }[]} samples in the order of time.
 */
export function growth(samples, warmUpMs) {
  const after = samples.filter(({ atMs }) => atMs >= warmUpMs);
  const quarter = Math.max(1, Math.floor(after.length / 4));
  const first = mean(after.slice(0, quarter).map(({ value }) => value));
  const last = mean(after.slice(-quarter).map(({ value }) => value));
  return { samples: after.length, first, last, percent: round((100 * (last - first)) / first, 2) };
}
