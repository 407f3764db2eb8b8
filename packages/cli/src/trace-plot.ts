import type { TraceLine } from '@sotto/engine';

const WIDTH = 1000;
const HEIGHT = 420;
const LEFT = 48;
const TOP = 24;
const PLOT_WIDTH = WIDTH - LEFT - 16;
const PLOT_HEIGHT = HEIGHT - TOP - 120;
const BITS_STEP = 5;

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** Bits along the circuit as an SVG image: measured, forecast, and what is left of the clear model's residual stream. */
export function plotTrace(lines: readonly TraceLine[], title: string): string {
  const known = (bits: number | null): bits is number => bits !== null && Number.isFinite(bits);
  const all = lines.flatMap((line) => [line.bits, line.forecastBits, line.modelBits]).filter(known);
  const most = Math.max(BITS_STEP, Math.ceil(Math.max(0, ...all) / BITS_STEP) * BITS_STEP);
  const x = (i: number) => LEFT + (PLOT_WIDTH * (i + 0.5)) / Math.max(1, lines.length);
  const y = (bits: number) => TOP + PLOT_HEIGHT * (1 - Math.max(0, Math.min(most, bits)) / most);
  const curve = (pick: (line: TraceLine) => number | null, style: string): string => {
    const points = lines.flatMap((line, i) => {
      const bits = pick(line);
      return bits === null ? [] : [`${x(i).toFixed(1)},${y(Number.isFinite(bits) ? bits : 0).toFixed(1)}`];
    });
    return `<polyline points="${points.join(' ')}" fill="none" ${style}/>`;
  };
  const grid = Array.from({ length: most / BITS_STEP + 1 }, (_, i) => {
    const at = y(i * BITS_STEP).toFixed(1);
    return (
      `<line x1="${LEFT}" x2="${LEFT + PLOT_WIDTH}" y1="${at}" y2="${at}" stroke="#ddd"/>` +
      `<text x="${LEFT - 6}" y="${at}" text-anchor="end" dominant-baseline="middle">${i * BITS_STEP}</text>`
    );
  });
  const labels = lines.map((line, i) => {
    const place = `${x(i).toFixed(1)} ${TOP + PLOT_HEIGHT + 8}`;
    const name = escaped(`${line.layer} ${line.name}`);
    return `<text transform="translate(${place}) rotate(60)"${line.fault ? ' fill="#c00"' : ''}>${name}</text>`;
  });
  const borders = lines.flatMap((line, i) => {
    const before = lines[i - 1];
    if (before === undefined || (before.layer === line.layer && before.block === line.block)) return [];
    const at = ((x(i) + x(i - 1)) / 2).toFixed(1);
    return [`<line x1="${at}" x2="${at}" y1="${TOP}" y2="${TOP + PLOT_HEIGHT}" stroke="#bbb"/>`];
  });
  const faults = lines.flatMap((line, i) =>
    line.fault
      ? [
          `<circle cx="${x(i).toFixed(1)}" cy="${y(Number.isFinite(line.bits) ? line.bits : 0).toFixed(1)}" r="5" fill="none" stroke="#c00" stroke-width="2"/>`,
        ]
      : [],
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="9">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${LEFT}" y="14" font-size="12">${escaped(title)}</text>`,
    ...grid,
    ...borders,
    curve((line) => line.forecastBits, 'stroke="#999" stroke-dasharray="4 3" stroke-width="1.5"'),
    curve((line) => line.modelBits, 'stroke="#e80" stroke-width="1.5"'),
    curve((line) => line.bits, 'stroke="#06c" stroke-width="1.5"'),
    ...faults,
    ...labels,
    `<text x="${LEFT}" y="${HEIGHT - 6}" font-size="11">bits of each step: <tspan fill="#06c">measured</tspan>, ` +
      '<tspan fill="#777">forecast (dashed)</tspan>, <tspan fill="#e80">residual stream against the clear model</tspan></text>',
    '</svg>',
    '',
  ].join('\n');
}
