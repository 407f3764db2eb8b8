import { SottoError } from '@sotto/base';
import type { ModelInfo, SessionInfo } from '@sotto/protocol';
import type { PrivateSide } from './private-side.js';

/** @throws `MODE_UNSUPPORTED`, `MODEL_MISMATCH` unless the server computes on ciphertexts with this model. */
export function requireSameModel(server: ModelInfo, digest: string): void {
  if (server.modes && !server.modes.includes('fhe')) {
    throw new SottoError('The server does not compute on ciphertexts.', {
      code: 'MODE_UNSUPPORTED',
      facts: { modes: server.modes.join(', ') },
      fix: 'Ask another server, or start this one with --mode fhe.',
    });
  }
  if (server.digest !== digest) {
    throw new SottoError('The server has another model than the client.', {
      code: 'MODEL_MISMATCH',
      facts: { client: digest, server: server.digest },
      fix: 'Give both sides the same model file.',
    });
  }
}

/** @throws `PARAMETERS_MISMATCH`, `PLAN_MISMATCH` unless both sides derived the same from the model. */
export function requireSamePlan(
  own: Pick<PrivateSide, 'parametersDigest' | 'planDigest' | 'keys'>,
  theirs: Pick<SessionInfo, 'parametersDigest' | 'planDigest' | 'keys'>,
): void {
  requireSame('PARAMETERS_MISMATCH', 'parameters', own.parametersDigest, theirs.parametersDigest);
  requireSame('PLAN_MISMATCH', 'plan', own.planDigest, theirs.planDigest);
  requireSame('PLAN_MISMATCH', 'key list', keyListOf(own), keyListOf(theirs));
}

const keyListOf = ({ keys }: Pick<PrivateSide, 'keys'>) =>
  keys.map((key) => `${key.index}=${key.id}:${key.sizeBytes}`).join(',');

function requireSame(code: string, what: string, own: string, theirs: string): void {
  if (own === theirs) return;
  throw new SottoError(`The server has another ${what} than the client made from the same model.`, {
    code,
    facts: { client: own.slice(0, 200), server: theirs.slice(0, 200) },
    fix: 'Use the same Sotto version and the same model at both sides.',
  });
}
