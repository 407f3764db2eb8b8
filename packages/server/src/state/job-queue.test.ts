import { expect, it } from 'vitest';
import { JobQueue } from './job-queue.js';

const never = new AbortController().signal;

/** A job that ends when it is told to. */
function held() {
  let end = () => {};
  const done = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { end, run: () => done };
}

it('takes turns by owner, and a cancelled job leaves the line', async () => {
  const queue = new JobQueue(1);
  const order: string[] = [];
  const first = held();
  const jobs = [queue.run('a', never, first.run)];
  const cancel = new AbortController();
  const add = (owner: string, name: string, signal = never) =>
    jobs.push(
      queue.run(owner, signal, async () => {
        order.push(name);
      }),
    );
  add('a', 'a1');
  add('a', 'a2');
  add('a', 'a3');
  add('b', 'b1');
  add('b', 'b2', cancel.signal);
  add('c', 'c1');
  expect([queue.running, queue.queued]).toEqual([1, 6]);
  cancel.abort(new Error('left'));
  expect(queue.queued).toBe(5);
  first.end();
  const ends = await Promise.allSettled(jobs);
  expect(order).toEqual(['a1', 'b1', 'c1', 'a2', 'a3']);
  expect(ends.filter(({ status }) => status === 'rejected')).toHaveLength(1);
  expect([queue.running, queue.queued]).toEqual([0, 0]);
});

it('runs as many as it has slots, and goes on after a failure', async () => {
  const queue = new JobQueue(2);
  const [one, two] = [held(), held()];
  const running = [queue.run('a', never, one.run), queue.run('a', never, two.run)];
  const failing = queue.run('a', never, () => Promise.reject(new Error('broken')));
  const last = queue.run('a', never, async () => 'ran');
  expect([queue.running, queue.queued]).toEqual([2, 2]);
  one.end();
  await expect(failing).rejects.toThrow('broken');
  expect(await last).toBe('ran');
  two.end();
  await Promise.all(running);
  expect(queue.running).toBe(0);
});
