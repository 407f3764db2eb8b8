import { SottoError } from '@sotto/base';
import type { SensitiveDetector, SensitiveSpan } from './sensitive.js';

/** Parts that no detector may miss, each between plain words. */
const PROBES = [
  'ada.l@mail.example.org',
  '+1 555 010 4477',
  '4111 1111 1111 1111',
  '2024-05-01',
  'Quentin Wolkowysk',
  '10.20.30.40',
];

function broken(reason: string): SottoError {
  return new SottoError(
    'The detector of sensitive words does not work, so nothing is sanitized and nothing is sent.',
    {
      code: 'DETECTOR_BROKEN',
      facts: { reason },
      fix: 'Use the detector of this package, or sanitize every word.',
    },
  );
}

/**
 * A detector that fails closed: its spans are checked and sorted, and its errors, which may hold text, are replaced by one that does not.
 *
 * @throws `DETECTOR_BROKEN` here when it misses one of a few obvious parts, and when it is called and throws or gives spans outside the text
 */
export function checkedDetector(detect: SensitiveDetector): SensitiveDetector {
  const checked: SensitiveDetector = (text) => {
    let spans: readonly SensitiveSpan[];
    try {
      spans = [...detect(text)];
    } catch {
      throw broken('it failed');
    }
    for (const { start, end } of spans) {
      if (
        !(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= text.length)
      )
        throw broken('a span outside the text');
    }
    return merged(spans);
  };
  for (const probe of PROBES) {
    const before = 'please tell ';
    const spans = checked(`${before}${probe} that we are late`);
    const [start, end] = [before.length, before.length + probe.length];
    if (!spans.some((span) => span.start <= start && span.end >= end))
      throw broken('it misses an obvious part');
  }
  return checked;
}

/** In order, touching and overlapping spans as one; the kind of the first. */
function merged(spans: readonly SensitiveSpan[]): SensitiveSpan[] {
  const out: SensitiveSpan[] = [];
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    const last = out.at(-1);
    if (last !== undefined && span.start <= last.end)
      out[out.length - 1] = { ...last, end: Math.max(last.end, span.end) };
    else out.push(span);
  }
  return out;
}
