/** Language and colours: kept for this browser, as they are no secret. */
import { effect, signal } from "@preact/signals";

export type Language = "en" | "zh";
export type Theme = "system" | "light" | "dark";

function stored<T extends string>(name: string, choices: readonly T[], preset: T): T {
  const value = localStorage.getItem(`similar-streamer.${name}`) as T | null;
  return value !== null && choices.includes(value) ? value : preset;
}

const spoken: Language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
export const language = signal<Language>(stored("language", ["en", "zh"], spoken));
export const theme = signal<Theme>(stored("theme", ["system", "light", "dark"], "system"));

effect(() => {
  localStorage.setItem("similar-streamer.language", language.value);
  document.documentElement.lang = language.value === "zh" ? "zh-CN" : "en";
});
effect(() => {
  localStorage.setItem("similar-streamer.theme", theme.value);
  document.documentElement.dataset["theme"] = theme.value;
});
