import { SottoError } from '@sotto/base';
import type { Rows, Window } from '@sotto/protocol';
import type { SessionRecord } from './journal.js';

type Place = Pick<Rows, 'position' | 'rows'>;

/** The positions of a session's sequence: the public part, then block after block of private rows. */
export class Sequence {
  readonly #window: Window;
  #publicTokens: readonly number[] | undefined;
  #positions = 0;
  /** Where the last finished block began, and its rows. */
  #lastBlock: Place | undefined;
  #privateRows = 0;
  #droppedRows = 0;

  constructor(window: Window) {
    this.#window = window;
  }

  /** Takes the place of an earlier run of the server. */
  restore(record: SessionRecord): void {
    this.#publicTokens = record.publicTokens ?? undefined;
    this.#positions = record.positions;
    this.#lastBlock = record.lastBlock ?? undefined;
    this.#droppedRows = record.droppedRows;
    this.#privateRows = record.privateRows;
  }

  snapshot(): Pick<
    SessionRecord,
    'publicTokens' | 'positions' | 'lastBlock' | 'droppedRows' | 'privateRows'
  > {
    return {
      publicTokens: this.#publicTokens ? [...this.#publicTokens] : null,
      positions: this.#positions,
      lastBlock: this.#lastBlock ?? null,
      droppedRows: this.#droppedRows,
      privateRows: this.#privateRows,
    };
  }

  get publicTokens(): readonly number[] | undefined {
    return this.#publicTokens;
  }

  /** Positions that are taken. */
  get positions(): number {
    return this.#positions;
  }

  /** Rows that were sent. */
  get privateRows(): number {
    return this.#privateRows;
  }

  /** Of them, rows that the client gave up. */
  get droppedRows(): number {
    return this.#droppedRows;
  }

  /** Encrypted rows are part of the sequence already. */
  get hasPrivateRows(): boolean {
    return this.#positions > (this.#publicTokens?.length ?? 0);
  }

  /** True when this is the public part already. @throws `PUBLIC_CONFLICT` when another one is. */
  hasPublic(tokens: readonly number[]): boolean {
    const held = this.#publicTokens;
    if (!held) return false;
    if (tokens.length === held.length && tokens.every((token, i) => token === held[i])) return true;
    throw new SottoError('The session has another public part.', {
      code: 'PUBLIC_CONFLICT',
      facts: { publicTokens: held.length },
      fix: 'Open a new session for another public part.',
    });
  }

  /** @throws `PROMPT_TOO_LONG`. */
  setPublic(tokens: readonly number[]): void {
    this.#requireRoom('public', 0, 0, tokens.length);
    this.#publicTokens = tokens;
    this.#positions = tokens.length;
  }

  clear(): void {
    this.#publicTokens = undefined;
    this.#positions = 0;
    this.#lastBlock = undefined;
  }

  /**
   * Takes a block in, and drops the rows of the last one that it replaces.
   *
   * @throws `PUBLIC_MISSING`, `BLOCK_OUT_OF_ORDER`, `BLOCK_TOO_LONG`, `PROMPT_TOO_LONG`; nothing has changed then.
   */
  begin({ position, rows }: Place): void {
    if (!this.#publicTokens) {
      throw new SottoError('The public part is missing.', {
        code: 'PUBLIC_MISSING',
        fix: 'Send it before the first block; it holds at least the start token.',
      });
    }
    const earliest = this.#earliest();
    if (position < earliest || position > this.#positions) {
      throw new SottoError('The block does not continue the sequence.', {
        code: 'BLOCK_OUT_OF_ORDER',
        facts: { position, earliest, expected: this.#positions },
        fix: 'Send blocks in order, each once.',
      });
    }
    const { blockRows } = this.#window;
    if (rows > blockRows) {
      throw new SottoError('The block has more rows than fit.', {
        code: 'BLOCK_TOO_LONG',
        facts: { rows, largest: blockRows },
        fix: 'Split the private part into blocks.',
      });
    }
    this.#requireRoom('private', position, position - this.#publicTokens.length, rows);
    this.#droppedRows += this.#positions - position;
    this.#positions = position;
    this.#privateRows += rows;
  }

  /** The block's rows are part of the sequence. */
  finish({ position, rows }: Place): void {
    this.#positions += rows;
    this.#lastBlock = { position, rows };
  }

  /** Rows of the last block may be dropped; one that has a single row stays. */
  #earliest(): number {
    return this.#lastBlock && this.#lastBlock.rows > 1 ? this.#lastBlock.position : this.#positions;
  }

  #requireRoom(part: 'public' | 'private', position: number, before: number, added: number): void {
    const { publicTokens, privateTokens, positions } = this.#window;
    const largest = Math.min(part === 'public' ? publicTokens : privateTokens, positions - position + before);
    if (before + added <= largest) return;
    throw new SottoError(`The ${part} part is longer than fits.`, {
      code: 'PROMPT_TOO_LONG',
      facts: { tokens: before + added, largest },
      fix: 'Shorten the prompt or ask for fewer tokens.',
    });
  }
}
