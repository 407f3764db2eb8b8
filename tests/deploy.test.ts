// What stands in deploy/ is held against the command line and the repository; containers cannot run everywhere, mistakes in names can be found everywhere.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SottoError } from '@sotto/base';
import { describe, expect, it } from 'vitest';
import { type Command, parseOptions } from '../packages/cli/dist/command.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (name: string) => readFileSync(join(root, 'deploy', name), 'utf8');

/** Parses arguments as `sotto` would. */
async function parse([name, ...args]: readonly string[]) {
  const { command } = (await import(`../packages/cli/dist/commands/${name}.js`)) as { command: Command };
  return parseOptions(command, args);
}

const jsonArrays = (text: string, key: RegExp) =>
  [...text.matchAll(key)].map(([, list]) => JSON.parse(list!) as string[]);

describe('the Dockerfile', () => {
  const text = read('Dockerfile').replace(/\\\n/g, ' ');

  it('copies what is there, and everything that a build needs', () => {
    const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names]) =>
      names!.split(' '),
    );
    expect(copied.length).toBeGreaterThan(5);
    for (const name of copied) expect(existsSync(join(root, name)), name).toBe(true);
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const named = [...scripts.build.matchAll(/node (\w+)\//g)].map(([, folder]) => folder);
    for (const folder of named) expect(copied).toContain(folder);
    for (const [, path] of text.matchAll(/--from=build \/opt\/sotto\/(\S+)/g)) {
      expect(existsSync(join(root, path!)), path).toBe(true);
    }
  });

  it('starts a command that exists with options that it has, as another user than root', async () => {
    const [entry] = jsonArrays(text, /^ENTRYPOINT (.+)$/gm);
    expect(entry?.[0]).toBe('node');
    expect(existsSync(join(root, entry![1]!))).toBe(true);
    const [args] = jsonArrays(text, /^CMD (.+)$/gm);
    const options = await parse(args!);
    expect(options.text('host')).toBe('0.0.0.0');
    expect(options.flag('public')).toBe(true);
    expect(text).toContain(`EXPOSE ${options.text('port')}`);
    expect(text).toContain(`127.0.0.1:${options.text('port')}/health`);
    expect(text).toContain('HEALTHCHECK');
    const finalStage = text.slice(text.lastIndexOf('\nFROM '));
    expect(finalStage).toMatch(/^USER (?!root)\w+$/m);
    const volume = /^VOLUME (\S+)$/m.exec(text)![1]!;
    for (const name of ['keys', 'state']) expect(options.text(name)!.startsWith(`${volume}/`)).toBe(true);
  });
});

describe('compose.yaml', () => {
  const text = read('compose.yaml');

  it('gives server and client commands that can be parsed, by the name of the service', async () => {
    const commands = jsonArrays(text, /^ {4}command: (\[.+\])$/gm);
    expect(commands.map(([name]) => name)).toEqual(['serve', 'ask']);
    const [server, client] = await Promise.all(commands.map(parse));
    const service = new URL(client!.text('server')!);
    expect(text).toContain(`\n  ${service.hostname}:\n`);
    // The server refuses requests for other names.
    expect(server!.text('name')!.split(',')).toContain(service.hostname);
    expect(service.port).toBe(server!.text('port'));
  });

  it('builds from files that exist and takes away what is not needed', () => {
    const dockerfile = /dockerfile: (\S+)/.exec(text)![1]!;
    expect(existsSync(join(root, dockerfile))).toBe(true);
    for (const part of text.split(/^ {2}(?:server|client):$/m).slice(1)) {
      expect(part).toContain('read_only: true');
      expect(part).toContain('cap_drop: ["ALL"]');
      expect(part).toContain('no-new-privileges:true');
    }
    expect(text).toContain('internal: true');
  });
});

describe('sotto.service', () => {
  const text = read('sotto.service');
  const [node, main, ...args] = /^ExecStart=(.+)$/m.exec(text)![1]!.split(' ');

  it('starts a command that exists with options that it has, where it may write', async () => {
    expect(node).toMatch(/\/node$/);
    expect(main!.startsWith('/opt/sotto/')).toBe(true);
    expect(existsSync(join(root, main!.slice('/opt/sotto/'.length)))).toBe(true);
    const options = await parse(args);
    const folder = /^StateDirectory=(\S+)$/m.exec(text)![1];
    for (const name of ['keys', 'state']) expect(options.text(name)).toContain(`/var/lib/${folder}/`);
    expect(options.flag('public')).toBe(false);
    await expect(parse([...args, '--no-such-option'])).rejects.toSatisfy(SottoError.is);
  });

  it('takes away what a server does not need, but not the compiler of JavaScript', () => {
    for (const line of [
      'DynamicUser=yes',
      'ProtectSystem=strict',
      'NoNewPrivileges=yes',
      'PrivateDevices=yes',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    expect(text).not.toMatch(/^MemoryDenyWriteExecute=/m);
  });

  const analyze = existsSync('/usr/bin/systemd-analyze');
  it.skipIf(!analyze)(`is a unit that systemd understands${analyze ? '' : ' (skipped: no systemd)'}`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'sotto-unit-'));
    const path = join(folder, 'sotto.service');
    const verified = (unit: string) => {
      writeFileSync(path, unit);
      const { stdout, stderr } = spawnSync('/usr/bin/systemd-analyze', ['verify', '--man=no', path]);
      return `${stdout}${stderr}`.split('\n').filter((line) => line.includes('sotto.service'));
    };
    // The program of this machine, so that only the unit is judged.
    const unit = text.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`);
    const said = verified(unit);
    const mistaken = verified(unit.replace('ProtectHome=', 'ProtectHouse='));
    rmSync(folder, { recursive: true });
    expect(said).toEqual([]);
    expect(mistaken.join()).toContain('ProtectHouse');
  });
});
