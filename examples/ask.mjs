// Asks a running server (`sotto serve`) a private question. Usage: node examples/ask.mjs [URL]
import { Session } from '@sotto/client';

const session = await Session.connect(process.argv[2] ?? 'http://127.0.0.1:8417', { refresh: 'client' });
const question = { publicText: 'Once upon a time, there was', privateText: 'a small dragon', maxTokens: 2 };
for await (const { text } of session.ask(question)) process.stdout.write(text);
process.stdout.write('\n');
await session.close();
