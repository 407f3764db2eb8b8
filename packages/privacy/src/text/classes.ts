import { type RandomSource, uniformBelow } from '../random/source.js';
import type { PieceKind } from './segment.js';

/**
 * Classes of pieces that no vocabulary holds. Within a class the substitute is drawn uniformly from a public set, whatever the piece
 * was: nothing but the class (and what {@link classOf} puts into its name) is disclosed.
 */
export type FormatClass =
  | `number:${string}`
  | `date:${string}`
  | 'email'
  | 'url'
  | 'id'
  | 'name'
  | 'unknown'
  | 'acronym'
  | 'letter'
  | 'capital'
  | 'symbol'
  | `script:${ScriptName}`;

const scriptTexts = {
  cyrillic:
    'дом город человек время дело книга вода дорога письмо работа слово место вопрос случай страна ночь',
  greek: 'σπίτι πόλη χρόνος βιβλίο νερό δρόμος γράμμα λέξη τόπος χώρα νύχτα μέρα φίλος θέμα σχολείο θάλασσα',
  han: '东西 地方 时间 事情 问题 工作 朋友 城市 学校 电话 天气 文章 方法 国家 公司 音乐',
  kana: 'もの ところ とき こと ひと まち みち いえ みず ほん てがみ しごと ともだち くに よる あさ',
  hangul: '사람 시간 장소 문제 회사 학교 친구 도시 나라 음악 전화 날씨 방법 편지 아침 저녁',
  arabic: 'بيت مدينة وقت كتاب ماء طريق رسالة عمل كلمة مكان سؤال بلد ليل يوم صديق مدرسة',
  other: 'thing place time matter person work word way case point part side kind fact idea number',
} as const;

type ScriptName = keyof typeof scriptTexts;

const scriptWords = new Map(Object.entries(scriptTexts).map(([script, text]) => [script, text.split(' ')]));

const scriptTests: readonly (readonly [ScriptName, RegExp])[] = [
  ['cyrillic', /^\p{Script=Cyrillic}/u],
  ['greek', /^\p{Script=Greek}/u],
  ['han', /^\p{Script=Han}/u],
  ['kana', /^[\p{Script=Hiragana}\p{Script=Katakana}]/u],
  ['hangul', /^\p{Script=Hangul}/u],
  ['arabic', /^\p{Script=Arabic}/u],
];

const names = (
  'Adams Allen Anderson Andrews Armstrong Arnold Austin Bailey Baker Barker Barnes Bennett Bishop Boyd Bradley Brooks Brown Bryant ' +
  'Burke Burns Burton Butler Byrne Campbell Carlson Carpenter Carroll Carter Chapman Clark Cohen Cole Coleman Collins Cooper Cox ' +
  'Craig Crawford Cross Cruz Cunningham Curtis Daniels Davidson Davies Davis Dawson Day Dean Delgado Diaz Dixon Douglas Doyle ' +
  'Duncan Dunn Edwards Elliott Ellis Evans Ferguson Fernandez Fields Fisher Fletcher Flores Ford Foster Fowler Fox Francis ' +
  'Franklin Fraser Freeman Fuller Garcia Gardner Garrett Gibson Gilbert Gomez Gonzalez Goodman Gordon Graham Grant Graves Gray ' +
  'Green Greene Griffin Gross Hall Hamilton Hansen Hanson Hardy Harper Harris Harrison Hart Harvey Hawkins Hayes Henderson Henry ' +
  'Hernandez Hicks Higgins Hill Hoffman Holland Holmes Hopkins Howard Howell Hudson Hughes Hunt Hunter Jackson Jacobs James ' +
  'Jenkins Jensen Johnson Johnston Jones Jordan Kelley Kelly Kennedy Kim King Klein Knight Lambert Lane Larson Lawrence Lawson ' +
  'Lee Leonard Lewis Little Logan Long Lopez Lowe Lucas Lynch Lyons Marshall Martin Martinez Mason Matthews Maxwell McCarthy ' +
  'McDonald McKenzie Meyer Miles Miller Mills Mitchell Montgomery Moore Morales Moran Moreno Morgan Morris Morrison Morton Moss ' +
  'Murphy Murray Myers Nash Neal Nelson Newman Newton Nichols Norman Norris Norton Nunez Oliver Olson Ortiz Owens Page Palmer ' +
  'Parker Parsons Patel Patterson Payne Pearson Pena Perez Perkins Perry Peters Peterson Phillips Pierce Porter Potter Powell ' +
  'Price Quinn Ramirez Ramos Reed Reese Reid Reyes Reynolds Rhodes Rice Richards Rivera Roberts Robinson Rodriguez Rogers Romero ' +
  'Rose Ross Russell Ryan Sanders Schmidt Scott Shaw Simmons Simpson Smith Spencer Stevens Stewart Stone Sullivan Taylor Thomas ' +
  'Thompson Turner Walker Walsh Ward Watson White Young'
).split(' ');

const nouns = (
  'item object thing matter piece part unit section detail element feature factor aspect point side area place site spot region ' +
  'zone space room field scene stage step phase period moment event case instance example sample model type kind form shape size ' +
  'level degree rate amount number group set list series range class order system process method plan project topic subject issue ' +
  'question'
).split(' ');

const capitals = ['A', 'I'];

const symbols = [...'★☆●○■□▲△▼▽◆◇→←↑↓✓✗♪♫☀☁☂☃☎☘☺♠♣♥♦⚑'];

/** The class of a piece that is not in the vocabulary. */
export function classOf(kind: Exclude<PieceKind, 'public'>, text: string): FormatClass {
  switch (kind) {
    case 'number':
      return `number:${text.replace(/\d/g, '0')}`;
    case 'date':
      return `date:${text.replace(/\d/g, '0')}`;
    case 'word': {
      if (!/^\p{Script=Latin}/u.test(text)) {
        return `script:${scriptTests.find(([, test]) => test.test(text))?.[0] ?? 'other'}`;
      }
      if (/^[a-zA-Z]$/.test(text)) return text >= 'a' ? 'letter' : 'capital';
      if (text.length > 1 && text === text.toUpperCase()) return 'acronym';
      return text[0] === text[0]!.toLowerCase() ? 'unknown' : 'name';
    }
    default:
      return kind;
  }
}

function digits(count: number, source: RandomSource): string {
  let out = '';
  for (let i = 0; i < count; i++) out += uniformBelow(source, 10);
  return out;
}

const letters = (count: number, source: RandomSource) =>
  Array.from({ length: count }, () => String.fromCharCode(65 + uniformBelow(source, 26))).join('');

const pick = (list: readonly string[], source: RandomSource) => list[uniformBelow(source, list.length)]!;

const padded = (value: number, width: number) => String(value).padStart(width, '0');

/** A substitute drawn uniformly from the public set of a class. */
export function drawFromClass(format: FormatClass, source: RandomSource): string {
  const colon = format.indexOf(':');
  const family = colon < 0 ? format : format.slice(0, colon);
  const detail = colon < 0 ? '' : format.slice(colon + 1);
  switch (family) {
    case 'number':
      return detail.replace(/0/g, () => digits(1, source));
    case 'date':
      return drawDate(detail, source);
    case 'email':
      return `user${digits(5, source)}@example.org`;
    case 'url':
      return `https://example.org/page${digits(5, source)}`;
    case 'id':
      return `${letters(2, source)}${digits(6, source)}`;
    case 'name':
      return pick(names, source);
    case 'acronym':
      return letters(3, source);
    case 'symbol':
      return pick(symbols, source);
    // Nearly all words of one letter are these; the vectors have none of them.
    case 'letter':
      return 'a';
    case 'capital':
      return pick(capitals, source);
    case 'script':
      return pick(scriptWords.get(detail)!, source);
    default:
      return pick(nouns, source);
  }
}

/** A date in the same notation; day and month stay at 12 or below where either may come first. */
function drawDate(pattern: string, source: RandomSource): string {
  const fields = pattern.split(/[^0]/);
  const separator = /[^0]/.exec(pattern)![0];
  const yearFirst = fields[0]!.length === 4;
  const drawn = fields.map(({ length }, i) => {
    if (i === (yearFirst ? 0 : 2)) {
      return length === 4 ? String(1950 + uniformBelow(source, 100)) : padded(uniformBelow(source, 100), 2);
    }
    const largest = length === 1 ? 9 : yearFirst && i === 2 ? 28 : 12;
    return padded(1 + uniformBelow(source, largest), length);
  });
  return drawn.join(separator);
}

/** log2 of the number of substitutes of a class. */
export function classBits(format: FormatClass): number {
  const colon = format.indexOf(':');
  const family = colon < 0 ? format : format.slice(0, colon);
  const sizes: Record<string, number> = {
    email: 1e5,
    url: 1e5,
    id: 26 ** 2 * 1e6,
    acronym: 26 ** 3,
    letter: 1,
    capital: capitals.length,
    name: names.length,
    symbol: symbols.length,
    script: 16,
    unknown: nouns.length,
  };
  if (family === 'number') return (format.match(/0/g) ?? []).length * Math.log2(10);
  if (family === 'date') return Math.log2(12 * 12 * 100);
  return Math.log2(sizes[family]!);
}
