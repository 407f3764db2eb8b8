// The page: a form, and a worker that holds the key. Everything that takes time runs in the worker.
const element = (id) => document.getElementById(id);
const form = element('form');
const [button, stop] = [form.querySelector('button'), element('stop')];
let worker = null;

element('origin').textContent = location.origin;

function end(phase) {
  worker?.terminate();
  worker = null;
  button.disabled = false;
  stop.disabled = true;
  element('phase').textContent = phase;
}

const show = {
  progress({ phase, label, done, total, unit }) {
    element('progress').value = done / total;
    element('phase').textContent = `${phase}: ${unit === 'bytes' ? `${Math.round(done / 1e6)} MB` : label}`;
  },
  token({ text }) {
    element('answer').textContent += text;
  },
  done({ facts }) {
    element('facts').textContent = facts;
    end('done');
  },
  failed({ message }) {
    element('error').textContent = message;
    end('failed');
  },
};

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const question = Object.fromEntries(new FormData(form));
  question.maxTokens = Number(question.maxTokens);
  for (const id of ['answer', 'error', 'facts']) element(id).textContent = '';
  element('prompt').textContent = `${question.publicText} [${question.privateText}]`;
  element('phase').textContent = 'starting';
  button.disabled = true;
  stop.disabled = false;
  worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  worker.onmessage = ({ data }) => show[data.type](data);
  worker.onerror = (event) => show.failed({ message: event.message || 'The worker did not start.' });
  worker.postMessage(question);
});

stop.addEventListener('click', () => end('stopped'));
