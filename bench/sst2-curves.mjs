// Accuracy against attack success: curves of families of mechanisms, comparisons at equal attack success, plots.

export const titles = {
  task: 'staircase, task blocks',
  lexicon: 'staircase, lexicon blocks',
  neutral: 'staircase, neutral blocks',
  rnm: 'report-noisy-max, own list of 20, D/eps (CMIF)',
  rnm2: 'report-noisy-max, own list of 20, 2D/eps',
  rnmBlocks: 'report-noisy-max, public blocks, D/eps',
  rnmCalibrated: 'report-noisy-max, public blocks, calibrated',
  rnmTaskBlocks: 'report-noisy-max, the task blocks, calibrated',
  exponential: 'exponential mechanism, public blocks',
  permuteAndFlip: 'permute-and-flip, public blocks',
  custext: 'CUSTEXT',
  custextPlus: 'CUSTEXT+',
  custextAggressive: 'CUSTEXT, aggressive',
  custextPlusAggressive: 'CUSTEXT+, aggressive',
  response: 'k-ary response, greedy blocks',
  santext: 'SANTEXT',
  santextPlus: 'SANTEXT+',
};
export const tables = ['task', 'lexicon', 'neutral'];
/** Attack successes at which mechanisms are compared. */
export const targets = [0.05, 0.12, 0.25, 0.48];
/** A point this near a target stands for it. */
const NEAR = 0.02;

export const family = (line) => line.mechanism.split(' ')[0];
export const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
export const number = (value, digits = 3) =>
  value === null || value === undefined
    ? '–'
    : value.toFixed(digits).replace(/^(-?)0\./, (_, sign) => `${sign === '-' ? '−' : ''}.`);

/** Share of the seeds that are right, for every sentence. */
export const shares = ({ hits, seeds }) => [...hits].map((digit) => Number.parseInt(digit, 36) / seeds);

/** Points of a family by attack success, each more accurate than the ones before. */
export function frontier(lines, scope, name) {
  const points = lines
    .filter((line) => line.scope === scope && family(line) === name)
    .sort((a, b) => a.attackZipf - b.attackZipf);
  return points.filter((point, i) => points.slice(0, i).every((other) => other.accuracy <= point.accuracy));
}

/**
 * Share of seeds right for every sentence, at an attack success between two points of a curve; at its first point also a little below.
 *
 * @param beyond what a curve is worth above its last point: nothing, or that point (which the attack finds harder)
 */
export function at(lines, scope, name, success, beyond = null) {
  const points = frontier(lines, scope, name);
  const above = points.findIndex((point) => point.attackZipf >= success);
  if (above < 0) {
    const last = points.at(-1);
    if (last === undefined) return null;
    return beyond === 'last' || success - last.attackZipf < NEAR ? shares(last) : null;
  }
  if (above === 0) return points[0].attackZipf - success < NEAR ? shares(points[0]) : null;
  const [a, b] = [points[above - 1], points[above]];
  const share = (success - a.attackZipf) / (b.attackZipf - a.attackZipf);
  const [x, y] = [shares(a), shares(b)];
  return x.map((value, i) => value * (1 - share) + y[i] * share);
}

/** Mean difference a - b over sentences with its 95 % half-width. */
export function paired(a, b) {
  const differences = a.map((value, i) => value - b[i]);
  const average = mean(differences);
  const deviation = Math.sqrt(mean(differences.map((value) => (value - average) ** 2)));
  return { average, half: (1.96 * deviation) / Math.sqrt(differences.length) };
}

export const signed = ({ average, half }) =>
  `${average >= 0 ? '+' : '−'}${number(Math.abs(average))} ± ${number(half)}`;

/** A line of results against our curve at its own attack success; null where our curve has no point. */
export function againstOurs(lines, line, name = 'task') {
  const ours = at(lines, line.scope, name, line.attackZipf, 'last');
  return ours === null ? null : paired(ours, shares(line));
}

/** Rows of the table "at equal attack success", each mechanism with its difference to the task table. */
export function matchedTable(lines, scope) {
  const page = [
    `| mechanism | ${targets.map((target) => `guess ${number(target, 2)}`).join(' | ')} |`,
    `|---|${targets.map(() => '---').join('|')}|`,
  ];
  for (const name of Object.keys(titles)) {
    const cells = targets.map((target) => {
      const [mine, reference] = [at(lines, scope, name, target), at(lines, scope, 'task', target)];
      if (mine === null) return '–';
      if (name === 'task' || reference === null) return number(mean(mine));
      return `${number(mean(mine))} (${signed(paired(mine, reference))})`;
    });
    if (cells.some((cell) => cell !== '–')) page.push(`| ${titles[name]} | ${cells.join(' | ')} |`);
  }
  return page;
}

/** Whether the accuracy sentence holds at each target, for one of our tables against all rivals. */
export function verdicts(lines, scope, ours) {
  const rivals = Object.keys(titles).filter((name) => !tables.includes(name) && name !== 'rnmTaskBlocks');
  return targets.map((target) => {
    const mine = at(lines, scope, ours, target);
    if (mine === null) return { target, state: 'no point' };
    const found = rivals.flatMap((name) => {
      const other = at(lines, scope, name, target);
      return other === null ? [] : [{ name, ...paired(mine, other) }];
    });
    if (found.length === 0) return { target, state: 'no rival' };
    const worst = found.reduce((a, b) => (b.average < a.average ? b : a));
    const significant = ['custextPlus', 'santextPlus'].map((name) =>
      found.find((entry) => entry.name === name),
    );
    const below = found.filter(({ average, half }) => average < -half / 2);
    const notAbove = significant.filter((entry) => entry !== undefined && entry.average <= entry.half);
    const rnm = found.find(({ name }) => name === 'rnm');
    const complete = significant.every((entry) => entry !== undefined);
    const holds = complete ? 'holds' : 'holds for those there';
    return { target, state: below.length + notAbove.length === 0 ? holds : 'fails', worst, significant, rnm };
  });
}

/** @returns an SVG of all families of a scope */
export function plot(lines, scope) {
  const here = lines.filter((line) => line.scope === scope && line.attackZipf <= 0.6);
  const names = Object.keys(titles).filter((name) => here.some((line) => family(line) === name));
  const [width, height, left, top] = [760, 430, 60, 20];
  const accuracies = here.map(({ accuracy }) => accuracy);
  const low = Math.floor(Math.min(...accuracies) * 50) / 50;
  const high = Math.ceil(Math.max(...accuracies) * 50) / 50;
  const x = (value) => left + (value / 0.6) * 400;
  const y = (value) => top + ((high - value) / (high - low)) * (height - 70);
  const hue = (i) => `hsl(${(i * 360) / names.length} 70% 40%)`;
  const parts = [];
  for (let value = low; value <= high + 1e-9; value += 0.02) {
    parts.push(
      `<path d="M${left} ${y(value).toFixed(1)}h400" stroke="#ddd"/><text x="${left - 8}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${value.toFixed(2)}</text>`,
    );
  }
  for (let value = 0; value <= 0.6; value += 0.1) {
    parts.push(
      `<text x="${x(value).toFixed(1)}" y="${height - 30}" text-anchor="middle">${value.toFixed(1)}</text>`,
    );
  }
  names.forEach((name, i) => {
    const points = here.filter((line) => family(line) === name);
    const line = frontier(lines, scope, name).filter(({ attackZipf }) => attackZipf <= 0.6);
    parts.push(
      `<path d="M${line.map((p) => `${x(p.attackZipf).toFixed(1)} ${y(p.accuracy).toFixed(1)}`).join('L')}" fill="none" stroke="${hue(i)}" stroke-width="${tables.includes(name) ? 2.5 : 1.2}"/>`,
      ...points.map(
        (p) =>
          `<circle cx="${x(p.attackZipf).toFixed(1)}" cy="${y(p.accuracy).toFixed(1)}" r="3" fill="${hue(i)}"/>`,
      ),
      `<text x="${left + 415}" y="${top + 12 + 17 * i}" fill="${hue(i)}">${titles[name]}</text>`,
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12"><rect width="${width}" height="${height}" fill="#fff"/>${parts.join('')}<text x="${left + 200}" y="${height - 8}" text-anchor="middle">success of the best guess at a word (Zipf prior)</text><text transform="translate(14 ${height / 2}) rotate(-90)" text-anchor="middle">accuracy</text></svg>\n`;
}
