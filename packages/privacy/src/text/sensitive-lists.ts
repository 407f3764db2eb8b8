const list = (text: string): readonly string[] => text.trim().split(/\s+/);

export const months = list(
  'January February March April May June July August September October November December Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec ' +
    'Monday Tuesday Wednesday Thursday Friday Saturday Sunday',
);

export const titles = list(
  'Mr Mrs Ms Miss Mx Dr Prof Professor Doctor Sir Madam Lady Lord Rev Reverend Father Capt Captain Col Colonel Gen General Lt Sgt Judge ' +
    'Senator President Herr Frau',
);

export const nationalities = list(
  'american british english scottish irish welsh french german italian spanish portuguese dutch belgian swiss austrian swedish norwegian ' +
    'danish finnish icelandic polish czech slovak hungarian romanian bulgarian greek turkish russian ukrainian serbian croatian slovenian ' +
    'albanian estonian latvian lithuanian chinese japanese korean vietnamese thai indian pakistani bangladeshi afghan iranian persian iraqi ' +
    'syrian lebanese israeli palestinian jordanian egyptian moroccan algerian tunisian libyan nigerian ghanaian kenyan ethiopian ' +
    'somali african asian european arab arabic latino latina hispanic mexican canadian brazilian argentinian chilean colombian peruvian ' +
    'venezuelan cuban bolivian paraguayan uruguayan ecuadorian ecuadorean guatemalan honduran salvadoran nicaraguan panamanian dominican ' +
    'jamaican haitian cambodian laotian burmese malaysian indonesian filipino singaporean bruneian nepali tibetan mongolian kazakh uzbek ' +
    'armenian georgian azerbaijani saudi kuwaiti qatari emirati omani yemeni bahraini sudanese eritrean ugandan tanzanian rwandan congolese ' +
    'cameroonian senegalese ivorian malian angolan zambian zimbabwean namibian maltese cypriot moldovan belarusian bosnian macedonian ' +
    'montenegrin kosovar luxembourgish basque catalan sunni shia shiite australian muslim islamic christian catholic protestant orthodox jewish jew hindu buddhist sikh mormon atheist kurdish',
);

export const streetWords = list(
  'street st avenue ave road rd lane ln boulevard blvd drive square court way place apt apartment suite unit floor room box building ' +
    'house rue via calle strasse platz',
);

export const topDomains = list(
  'com org net edu gov mil int info biz io ai app dev me co uk de fr nl be ch at it es pt se no dk fi pl cz sk hu ro bg gr tr ru ua us ca ' +
    'mx br ar au nz jp cn in kr za ie is eu example',
);

/** Words of delicate topics that are common enough to be taken for harmless: health, money, law, belief, love, politics. */
export const sensitiveTopics = list(
  'cancer disease illness sick hiv aids virus infection infected surgery diagnosis diagnosed symptoms treatment therapy therapist patient pregnant ' +
    'pregnancy abortion miscarriage depression depressed anxiety suicide suicidal addiction addicted alcoholic overdose drugs cocaine heroin ' +
    'marijuana rehab disability disabled blind deaf autism autistic dementia diabetes asthma stroke tumor leukemia epilepsy schizophrenia ' +
    'bipolar psychiatric psychiatrist doctor hospital clinic medication pills pain blood overweight obese ' +
    'salary income debt debts bankrupt bankruptcy loan mortgage tax taxes fraud broke fired unemployed lawsuit divorce divorced custody ' +
    'arrested arrest prison jail convicted criminal crime victim abuse abused abusive rape raped assault assaulted harassment violence ' +
    'police court lawyer guilty illegal immigrant refugee asylum deported ' +
    'gay lesbian bisexual transgender queer sex sexual affair cheating lover religion religious church mosque synagogue faith ' +
    'republican democrat conservative liberal communist socialist union strike vote voted password secret confidential',
);

/** Words that usually stand at the beginning of a sentence without being names. */
export const ordinaryStarts: ReadonlySet<string> = new Set(
  list(
    'a about above according after again against ago all almost along already also although always am among an and another any anybody ' +
      'anyone anything anyway are around as ask at away back be because been before behind being below best better between big both bring but ' +
      'buy by call came can cannot certainly check choose click close come contact could date day dear describe did do does doing done ' +
      'down during each early either else enough enter especially even ever every everybody everyone everything exactly except explain few ' +
      'finally find first following for found from full further get give given go good great had half hardly has have having he hello help ' +
      'hence her here hers hi high him his hope how however if imagine in indeed inside instead into is it its just keep kind last later least ' +
      'leave left less let like list little long look make making many maybe me meanwhile might mine more most much must my myself name near ' +
      'nearly neither never new next nice no nobody none nor not note nothing now obviously of off often oh okay old on once one only open or ' +
      'other others otherwise our ours out outside over own part people perhaps place please possibly put question quite rather read really ' +
      'recently regarding remember right said same say says see seems send several shall she should show similarly since so some somebody ' +
      'someone something sometimes soon sorry still stop such suddenly sum summarize sure take tell than thank thanks that the their theirs them ' +
      'then there therefore these they thing things think this those though three through throughout thus time to today together ' +
      'tomorrow too translate try turn two under unfortunately unless until up update upon us use used usually very via wait want was watch ' +
      'way we well were what whatever when whenever where whether which while who whoever whole whom whose why will with within without ' +
      'wonderful work would write yes yesterday yet you your yours address billing card city email fax home mobile number office phone zip',
  ),
);

/** Of these, the ones that also begin names: "New Zealand", "Will Smith". */
export const nameStarts: ReadonlySet<string> = new Set(
  list('new old great little big long high will may city part place mine young'),
);
