import { Session } from '@sotto/client';
import { afterAll, beforeAll, it } from 'vitest';
import { compareTranscripts } from './fixtures/transcripts.js';
import { Recorder, startWatched, type Watched } from './fixtures/watched-server.js';

let watched: Watched;
beforeAll(async () => {
  watched = await startWatched();
});
afterAll(() => watched.close());

it.each([
  { id: 'A1', refresh: 'client', longest: 20, numRuns: 12, maxTokens: 3 },
  { id: 'A2', refresh: 'bootstrap', longest: 20, numRuns: 4, maxTokens: 2 },
] as const)(
  '$id: is the same transcript for private texts of equal length, refreshed by $refresh',
  async (kind) => {
    const recorder = new Recorder();
    const options = { ...watched.connectOptions(recorder), refresh: kind.refresh };
    const session = await Session.connect(watched.server.url, options);
    await compareTranscripts(session, recorder, kind);
    await session.close();
  },
);
