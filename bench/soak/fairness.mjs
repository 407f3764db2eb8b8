/**
 * Jobs that began although another owner had been waiting since before their owner's previous turn: none, when owners take turns.
 * For a server that runs one job at a time: a job is chosen after the one before it began, so who waited then was passed over.
 *
 * @param {readonly { owner: string, submittedMs: number, startedMs: number }[]} jobs as their clients saw them.
 */
export function overtakings(jobs) {
  const order = jobs.filter(({ startedMs }) => startedMs > 0).sort((a, b) => a.startedMs - b.startedMs);
  const previousTurn = new Map();
  let count = 0;
  order.forEach((job, turn) => {
    const before = previousTurn.get(job.owner);
    previousTurn.set(job.owner, turn);
    if (before === undefined || before === 0) return;
    const chosenMs = order[before - 1].startedMs;
    const served = new Set(order.slice(before, turn + 1).map(({ owner }) => owner));
    const passedOver = order
      .slice(turn + 1)
      .some(({ owner, submittedMs }) => !served.has(owner) && submittedMs < chosenMs);
    if (passedOver) count++;
  });
  return count;
}
