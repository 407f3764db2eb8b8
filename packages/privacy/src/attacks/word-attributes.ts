/** A secret property of words: those of each value by name; all other words have none. */
export interface WordAttribute {
  readonly name: string;
  readonly values: Readonly<Record<string, readonly string[]>>;
}

const list = (text: string) => text.split(' ');

/** Properties that a text may give away without anybody naming them. Small lists, made to compare tables with each other. */
export const wordAttributes: readonly WordAttribute[] = [
  {
    name: 'sentiment',
    values: {
      positive: list(
        'good great excellent wonderful happy love beautiful best nice enjoy perfect brilliant fun pleasant delightful superb charming ' +
          'impressive fantastic amazing joy success win triumph hope glad proud fresh warm clever funny smart elegant gentle graceful ' +
          'rewarding satisfying lovely cheerful splendid admire praise welcome safe honest generous strong vivid rich sweet',
      ),
      negative: list(
        'bad terrible awful horrible sad hate ugly worst nasty suffer broken stupid boring unpleasant dreadful poor dull disappointing ' +
          'painful disgusting grief failure lose defeat fear angry ashamed stale cold foolish silly weak clumsy cruel violent ' +
          'tedious annoying grim gloomy miserable blame attack reject dangerous corrupt greedy fragile bleak empty bitter',
      ),
    },
  },
  {
    name: 'gender',
    values: {
      female: list(
        'she her hers herself woman women girl girls mother daughter sister aunt wife grandmother queen princess actress lady ladies ' +
          'mom widow bride niece goddess duchess',
      ),
      male: list(
        'he him his himself man men boy boys father son brother uncle husband grandfather king prince actor gentleman gentlemen dad ' +
          'widower groom nephew god duke',
      ),
    },
  },
  {
    name: 'illness',
    values: {
      illness: list(
        'cancer flu fever disease infection virus diabetes asthma tumor malaria pneumonia hepatitis leukemia stroke ' +
          'depression anxiety allergy tuberculosis epilepsy arthritis syndrome symptoms cough pain',
      ),
      other: list(
        'car house table window garden river mountain book music football computer train kitchen market bread coffee paper ' +
          'bridge forest holiday ticket picture guitar letter',
      ),
    },
  },
];

/** Value of the attribute for every word of a vocabulary, -1 where it has none. */
export function attributeLabels(words: readonly string[], attribute: WordAttribute): Int32Array {
  const labelOf = new Map<string, number>();
  Object.values(attribute.values).forEach((members, label) => {
    for (const word of members) labelOf.set(word, label);
  });
  return Int32Array.from(words, (word) => labelOf.get(word) ?? -1);
}
