/** Texts in the language of choice, and numbers and times as it writes them. */
import { language } from "../state/preferences";
import { casesEn } from "./cases_en";
import { casesZh } from "./cases_zh";
import { deskEn } from "./desk_en";
import { deskZh } from "./desk_zh";
import { en } from "./en";
import { evidenceEn } from "./evidence_en";
import { evidenceZh } from "./evidence_zh";
import { findEn } from "./find_en";
import { findZh } from "./find_zh";
import { mapEn } from "./map/en";
import { mapZh } from "./map/zh";
import { modelsEn } from "./models/en";
import { modelsZh } from "./models/zh";
import { newcomerEn } from "./newcomer_en";
import { newcomerZh } from "./newcomer_zh";
import { zh } from "./zh";

const TEXTS = {
  en: {
    ...en,
    ...findEn,
    ...deskEn,
    ...newcomerEn,
    ...casesEn,
    ...evidenceEn,
    ...mapEn,
    ...modelsEn,
  },
  zh: {
    ...zh,
    ...findZh,
    ...deskZh,
    ...newcomerZh,
    ...casesZh,
    ...evidenceZh,
    ...mapZh,
    ...modelsZh,
  },
};
export type Text = keyof typeof TEXTS.en;

/** A text with its values: `{n}` is one of them, `{n|copy|copies}` the word for one, or for any other number. */
export function t(text: Text, values: Record<string, string | number> = {}): string {
  const found: string = TEXTS[language.value][text];
  return found
    .replace(/\{(\w+)\|([^|}]*)\|([^}]*)\}/g, (_, name: string, one: string, other: string) =>
      String(values[name]) === "1" ? one : other,
    )
    .replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** The text of a name that the service chose, which may be newer than this page. */
export function named(prefix: string, name: string): string {
  const text = `${prefix}.${name}`;
  return Object.hasOwn(TEXTS.en, text) ? t(text as Text) : name.replaceAll("_", " ");
}

/** Words of this language beside each other. */
export function listed(words: readonly string[]): string {
  return words.join(language.value === "zh" ? "、" : ", ");
}

/** Between a name and what it names. */
export function colon(): string {
  return language.value === "zh" ? "：" : ": ";
}

function locale(): string {
  return language.value === "zh" ? "zh-CN" : "en-GB";
}

/** A share in percent, never rounded up to what it is not: 0.9996 is 99.9 %, 0.497 is 49 %. */
export function percent(share: number): string {
  const digits = share < 1 && (share > 0.99 || share < 0.01) ? 1 : 0;
  const steps = digits ? 1000 : 100;
  const cut = Math.floor(share * steps + 1e-9) / steps;
  const style = { style: "percent", maximumFractionDigits: digits } as const;
  return new Intl.NumberFormat(locale(), style).format(cut);
}

export function number(value: number): string {
  return new Intl.NumberFormat(locale()).format(value);
}

/** The time zone of `time`, as that of the browser. */
export function zone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** Of seconds since 1970, or RFC 3339. */
export function time(value: number | string): string {
  const date = new Date(typeof value === "number" ? value * 1000 : value);
  const style = { dateStyle: "medium", timeStyle: "medium" } as const;
  return new Intl.DateTimeFormat(locale(), style).format(date);
}
