import { cpSync, createReadStream, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const packages = fileURLToPath(new URL('../../packages/', import.meta.url));
/** What the client looks for under /models/: the folders `data` of @sotto/model and @sotto/engine. */
const folders = ['model', 'engine'].map((name) => join(packages, name, 'data'));

/** Serves the models while developing, and copies them into a build. */
const models = {
  name: 'sotto-models',
  configureServer({ middlewares }) {
    middlewares.use('/models', (request, response, next) => {
      const name = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
      const path = folders
        .map((folder) => join(folder, name))
        .find((at) => existsSync(at) && statSync(at).isFile());
      if (!path || name.includes('..')) return next();
      response.setHeader('content-type', 'application/octet-stream');
      createReadStream(path).pipe(response);
    });
  },
  closeBundle() {
    const out = fileURLToPath(new URL('dist/models/', import.meta.url));
    for (const folder of folders) cpSync(folder, out, { recursive: true });
  },
};

/** With these a page is cross-origin isolated: it may share memory among workers, so the kernels use several threads. */
const headers = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // Missing files are missing, not the page.
  appType: 'mpa',
  plugins: [models],
  build: { target: 'es2022', outDir: 'dist', emptyOutDir: true },
  worker: { format: 'es' },
  optimizeDeps: { exclude: ['@sotto/client'] },
  server: { headers },
  preview: { headers },
});
