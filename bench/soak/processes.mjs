// What Linux tells about a process and those it started.
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

const read = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process ended meanwhile.
    return '';
  }
};

const statOf = (pid) => {
  const [, after] = read(`/proc/${pid}/stat`).split(/\) (?=[A-Z] )/);
  const fields = after?.split(' ');
  return fields && { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
};

/** A process and all that it started, directly or not. */
export function processTree(pid) {
  const children = new Map();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const parent = statOf(name)?.parent;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree = [pid];
  for (const each of tree) tree.push(...(children.get(each) ?? []));
  return tree;
}

/** Resident bytes of a process tree, memory that they share counted in each. */
export const residentBytes = (pid) =>
  processTree(pid).reduce(
    (sum, each) => sum + 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${each}/status`))?.[1] ?? 0),
    0,
  );

/** Seconds of processor time of a process tree, without processes that have ended. */
export const cpuSeconds = (pid) =>
  processTree(pid).reduce((sum, each) => sum + (statOf(each)?.ticks ?? 0) / TICKS_PER_SECOND, 0);

/** Open file descriptors of a process. */
export const openFiles = (pid) => {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
};
