import { type KeySetInfo, keySetListSchema, keySetSchema } from '@sotto/protocol';
import type { Connection } from './connection.js';

/** The key sets that one client keeps at one server. */
export class KeySets {
  readonly #connection: Connection;
  readonly #headers: Record<string, string>;

  constructor(connection: Connection, clientToken: string) {
    this.#connection = connection;
    this.#headers = { authorization: `Bearer ${clientToken}` };
  }

  /** @throws `KEYS_DISABLED` and the errors of the connection. */
  async list(signal?: AbortSignal): Promise<readonly KeySetInfo[]> {
    const { keySets } = await this.#connection.json(keySetListSchema, 'list of key sets', {
      method: 'GET',
      path: '/v1/keysets',
      headers: this.#headers,
      signal,
      repeatable: true,
    });
    return keySets;
  }

  /** @throws `KEYSET_UNKNOWN`. */
  show(id: string, signal?: AbortSignal): Promise<KeySetInfo> {
    return this.#connection.json(keySetSchema, 'key set', {
      method: 'GET',
      path: `/v1/keysets/${encodeURIComponent(id)}`,
      headers: this.#headers,
      signal,
      repeatable: true,
    });
  }

  /** One evaluation key as it was sent. @throws `KEYSET_UNKNOWN`, `KEYSET_INCOMPLETE`, `KEYS_DAMAGED`. */
  key(id: string, index: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#connection.frame('key', index, {
      method: 'GET',
      path: `/v1/keysets/${encodeURIComponent(id)}/keys/${index}`,
      headers: this.#headers,
      signal,
      repeatable: true,
    });
  }

  /** @throws `KEYSET_UNKNOWN`, `KEYSET_IN_USE`. */
  remove(id: string, signal?: AbortSignal): Promise<void> {
    return this.#connection.empty({
      method: 'DELETE',
      path: `/v1/keysets/${encodeURIComponent(id)}`,
      headers: this.#headers,
      signal,
    });
  }
}
