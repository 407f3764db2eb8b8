import { decodeFrame, encodeFrame, StreamEventParser } from '@sotto/protocol';
import { pause, replyTo } from './recording.mjs';

const TRY_AGAIN_MS = 100;

/** A client that asks a recorded question, again and again. */
export class Replay {
  #url;
  #recording;
  #clientToken;
  #session;
  #asked = false;

  /** @param {() => string} url of the server; it may move. @param {string} clientToken owner of the recorded keys there. */
  constructor(url, recording, clientToken) {
    this.#url = url;
    this.#recording = recording;
    this.#clientToken = clientToken;
  }

  /** Opens a session with the stored keys and waits until they are in memory. */
  async open() {
    const opened = await this.#call('POST', '/v1/sessions', {
      body: this.#recording.session,
      token: this.#clientToken,
    });
    this.#session = await opened.json();
    for (;;) {
      const { loaded, total } = await (await this.#call('GET', `${this.#at}/keys`)).json();
      if (loaded === total) return;
      await pause(TRY_AGAIN_MS);
    }
  }

  /** Sends public part and block. @returns {Promise<string>} the identifier of the job. */
  async submit() {
    if (this.#asked) await this.#call('POST', `${this.#at}/reset`);
    this.#asked = true;
    await this.#call('POST', `${this.#at}/public`, { body: this.#recording.publicPart });
    const accepted = await this.#call('POST', `${this.#at}/blocks`, { body: this.#recording.block });
    return (await accepted.json()).jobId;
  }

  /**
   * Follows a job to its end over lost connections, and answers its refreshes.
   *
   * @param {{ onStart?: () => void, answerMs?: () => number }} [options] `onStart` is called at the first sign of work,
   *   `answerMs` says how long a refresh waits for its answer.
   * @returns {Promise<boolean>} the result is the recorded one to the last bit.
   */
  async follow(jobId, { onStart = () => {}, answerMs = () => 0 } = {}) {
    const job = `/v1/jobs/${jobId}`;
    let lastId = '0';
    let started = false;
    for (;;) {
      try {
        const response = await this.#call('GET', `${job}/events`, { headers: { 'last-event-id': lastId } });
        const parser = new StreamEventParser();
        for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
          for (const { id, data } of parser.push(piece)) {
            lastId = id;
            const event = JSON.parse(data);
            if (event.type === 'failed') throw new JobFailed(event.error.code);
            if (event.type === 'done') return await this.#same(job);
            if (!started) onStart();
            started = true;
            if (event.type !== 'refresh') continue;
            await pause(answerMs());
            await this.#answer(`${job}/refresh/${event.refreshId}`);
          }
        }
      } catch (error) {
        if (error instanceof JobFailed || error instanceof Refused) throw error;
      }
      await pause(TRY_AGAIN_MS);
    }
  }

  async close() {
    await this.#call('DELETE', this.#at);
  }

  /** Fetches the result once more. */
  fetchAgain = (jobId) => this.#same(`/v1/jobs/${jobId}`);

  state = async (jobId) => (await (await this.#call('GET', `/v1/jobs/${jobId}`)).json()).state;

  get #at() {
    return `/v1/sessions/${this.#session.sessionId}`;
  }

  async #same(job) {
    const response = await this.#call('GET', `${job}/result`);
    return Buffer.from(await response.arrayBuffer()).equals(Buffer.from(this.#recording.result));
  }

  async #answer(path) {
    let asked;
    try {
      asked = await this.#call('GET', path);
    } catch (error) {
      // A server that was restarted meanwhile asks again, under another number.
      if (error instanceof Refused && error.message === 'REFRESH_UNKNOWN') return;
      throw error;
    }
    const frame = decodeFrame(new Uint8Array(await asked.arrayBuffer()), 'refreshRequest');
    const body = encodeFrame('refreshReply', frame.index, replyTo(this.#recording, frame.payload));
    await this.#call('PUT', path, { body }).catch((error) => {
      if (!(error instanceof Refused && error.message === 'REFRESH_UNKNOWN')) throw error;
    });
  }

  /** Makes a call until a server answers it. @throws {Refused} when the answer is an error that will not pass. */
  async #call(method, path, { body, token = this.#session?.token, headers = {} } = {}) {
    for (;;) {
      let response;
      try {
        response = await fetch(`${this.#url()}${path}`, {
          method,
          headers: { authorization: `Bearer ${token}`, ...headers },
          ...(body === undefined ? {} : { body }),
        });
      } catch {
        // Nobody listens there now.
        await pause(TRY_AGAIN_MS);
        continue;
      }
      if (response.ok) return response;
      const { error } = await response.json();
      if (!error.retryable) throw new Refused(error.code);
      await pause(TRY_AGAIN_MS);
    }
  }
}

/** The server answered with this code. */
export class Refused extends Error {}

/** The job ended with this code instead of a result. */
export class JobFailed extends Error {}
