import { expect, it } from 'vitest';
import { Arena } from './arena.js';

class Item {
  releases = 0;
  readonly arena: Arena;
  constructor(arena: Arena) {
    this.arena = arena;
    arena.adopt(this);
  }
  release(): void {
    this.releases++;
    this.arena.forget(this);
  }
}

it('frees what is not returned, once, and hands the rest to the scope around', () => {
  const arena = new Arena();
  const seen: Item[] = [];
  const make = () => {
    const item = new Item(arena);
    seen.push(item);
    return item;
  };
  const out = arena.scope(() => {
    arena.scope(() => ({ a: make(), b: [make()], c: 'text', d: null }));
    expect(seen.map((item) => item.releases)).toEqual([0, 1]);
    const list = arena.scope(() => [make(), 5, make()]);
    make();
    return list;
  });
  expect(seen.map((item) => item.releases)).toEqual([1, 1, 0, 0, 1]);
  expect(out).toHaveLength(3);
  make();
  expect(seen.at(-1)?.releases).toBe(0);
});

it('frees everything when the body throws', () => {
  const arena = new Arena();
  let item: Item | undefined;
  expect(() =>
    arena.scope(() => {
      item = new Item(arena);
      throw new Error('inside');
    }),
  ).toThrow('inside');
  expect(item?.releases).toBe(1);
});

it('does not free an object of a scope around, or a forgotten one', () => {
  const arena = new Arena();
  arena.scope(() => {
    const outer = new Item(arena);
    const kept = arena.scope(() => {
      const item = new Item(arena);
      arena.forget(item);
      return { outer, item }.item;
    });
    expect(outer.releases).toBe(0);
    expect(kept.releases).toBe(0);
  });
});

it('refuses to wait', () => {
  const arena = new Arena();
  expect(() => arena.scope(async () => 1)).toThrow(expect.objectContaining({ code: 'HE_SCOPE_ASYNC' }));
});
