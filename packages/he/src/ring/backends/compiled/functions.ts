/** Must equal `sotto_abi()` of a library. */
export const ABI = 4;

/** Argument kinds: `p` an address, `i` a 32-bit integer, `l` a 64-bit size; the first letter is the result, `v` none. */
export const signatures = {
  sotto_abi: 'i',
  sotto_isa: 'i',
  sotto_ring_bytes: 'pii',
  sotto_ring_init: 'vpiippp',
  sotto_copy: 'vppppi',
  sotto_zero: 'vpppi',
  sotto_select: 'vppppi',
  sotto_ntt: 'vpppi',
  sotto_intt: 'vpppi',
  sotto_add: 'vpppppi',
  sotto_sub: 'vpppppi',
  sotto_neg: 'vppppi',
  sotto_to_montgomery: 'vppppi',
  sotto_mul: 'vpppppii',
  sotto_mul_sum: 'vpppipii',
  sotto_mul_const: 'vpppppii',
  sotto_add_const: 'vpppppi',
  sotto_tensor: 'vpppii',
  sotto_permute: 'vpppiip',
  sotto_inner_product: 'vppppipippii',
  sotto_plan_bytes: 'pii',
  sotto_plan_extend: 'vpppipip',
  sotto_plan_divide: 'vpppipii',
  sotto_plan_lift: 'vpppi',
  sotto_plan_rows: 'ippi',
  sotto_run_plan: 'vpppip',
  sotto_switch_rows: 'ippi',
  sotto_switch: 'vppippippppip',
  sotto_lift: 'vpppp',
  sotto_embed: 'vpppipp',
  sotto_uniform: 'vpppipi',
} as const satisfies Record<string, string>;

/** The exported functions, all over numbers. */
export type Functions = Record<keyof typeof signatures, (...args: number[]) => number>;

/** A file that holds cold memory. */
export interface ColdFile {
  /** @returns false when the disk has no room. */
  map(at: number, sizeBytes: number): boolean;
  unmap(at: number, sizeBytes: number): void;
}

/** Memory and functions of one ring's machine. */
export interface Machine {
  readonly functions: Functions;
  /** First usable address, 64-byte aligned. */
  readonly base: number;
  readonly limitBytes: number;
  /** Whether cold memory lies outside of what the functions can address, so that they need copies of it. */
  readonly coldOutside: boolean;
  /** Puts cold rows in a file and back in memory; null when they stay in memory. */
  readonly coldFile: ColdFile | null;
  /** Handle of the thread pool, 0 for none. */
  readonly pool: number;
  /** Makes the first `sizeBytes` bytes from {@link base} usable. */
  commit(sizeBytes: number): boolean;
  /** Words at an address; the view is good until the next commit. */
  view(at: number, words: number): Uint32Array;
  write(at: number, bytes: Uint8Array): void;
  read(at: number, words: number): Uint32Array;
  dispose(): void;
}
