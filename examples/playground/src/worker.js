// Holds the secret key and asks. In a cross-origin isolated page it shares its kernels among web workers.
import { Session } from '@sotto/client';

/** More threads do not pay on the rings of a client. */
const MOST_THREADS = 4;

const report = (type, fields) => postMessage({ type, ...fields });

addEventListener('message', async ({ data: { server, refresh, parameters, ...question } }) => {
  try {
    const threads = crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
    const onProgress = (event) => report('progress', event);
    const startMs = performance.now();
    const session = await Session.connect(server, { refresh, parameters, threads, onProgress });
    const readyMs = performance.now();
    for await (const { text, token } of session.ask({ ...question, onProgress }))
      report('token', { text, token });
    const { ring, costs } = session;
    const { serverSaw } = await session.status();
    await session.close();
    const seconds = (ms) => (ms / 1000).toFixed(1);
    report('done', {
      facts:
        `Ring ${ring.parametersName}, ${ring.securityBits} bits of security, ${threads} threads. ` +
        `Keys ${seconds(readyMs - startMs)} s and ${Math.round(costs.bytes.keysUp / 1e6)} MB, ` +
        `answer ${seconds(performance.now() - readyMs)} s. ` +
        `The server saw ${serverSaw.publicTokens} public tokens and the number of private rows, ${serverSaw.privateRows}.`,
    });
  } catch (error) {
    // A SottoError says what happened, with facts and what to do.
    report('failed', { message: error instanceof Error ? error.message : String(error) });
  }
});
