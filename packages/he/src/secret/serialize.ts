import { SottoError, toHex } from '@sotto/base';
import { fromHex, openEnvelope, type Parameters, sealEnvelope } from '../rlwe/index.js';
import { SecretKey } from './secret-key.js';

const SET_ID_BYTES = 16;

/**
 * Body: key-set id, whether there is an ephemeral secret, N signed bytes for each secret. The bytes are the secret in clear: store
 * them readable by the owner alone, and overwrite them after use.
 */
export function serializeSecretKey(key: SecretKey): Uint8Array {
  return sealEnvelope('secretKey', key.parametersDigest, (writer) => {
    writer.bytes(fromHex(key.setId)).u8(key.ephemeral === null ? 0 : 1);
    writer.bytes(unsigned(key.main));
    if (key.ephemeral !== null) writer.bytes(unsigned(key.ephemeral));
  });
}

/**
 * @throws as `openEnvelope`, and `DATA_VALUE` when a coefficient is not -1, 0 or 1 or a weight is not that of the parameters.
 */
export function deserializeSecretKey(params: Parameters, bytes: Uint8Array): SecretKey {
  const reader = openEnvelope(bytes, 'secretKey', params.digest);
  const setId = toHex(reader.bytes(SET_ID_BYTES));
  const hasEphemeral = reader.u8();
  if (hasEphemeral !== (params.bootstrap === null ? 0 : 1)) throw valueError();
  const read = (weight: number | null): Int8Array => {
    const coefficients = new Int8Array(reader.bytes(params.n).slice().buffer);
    const found = coefficients.reduce((sum, c) => sum + Math.abs(c), 0);
    if (coefficients.some((c) => c < -1 || c > 1) || (weight !== null && found !== weight))
      throw valueError();
    return coefficients;
  };
  const main = read(params.secret.kind === 'fixedWeight' ? params.secret.weight : null);
  const ephemeral = params.bootstrap === null ? null : read(params.bootstrap.ephemeralWeight);
  reader.end();
  return new SecretKey(params.digest, setId, main, ephemeral);
}

const unsigned = (x: Int8Array) => new Uint8Array(x.buffer, x.byteOffset, x.length);

function valueError(): SottoError {
  return new SottoError('The secret key does not have the form of these parameters.', {
    code: 'DATA_VALUE',
    fix: 'Use the key file made for these parameters.',
  });
}
