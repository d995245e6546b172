/** Streamers whose nickname, tag or bio has what is typed. */
import { useEffect, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";

export type Suggestion = Schemas["FoundOut"];
const MOST = 8;
const PAUSE_MS = 150;

/** What was found for `text`, once typing pauses; nothing for a pasted list. */
export function useSuggestions(text: string): Suggestion[] {
  const [asked, setAsked] = useState("");
  const wanted = text.trim();
  useEffect(() => {
    const timer = setTimeout(() => setAsked(wanted), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [wanted]);
  const isName = [...asked].length >= 2 && asked.length <= 100 && !/[\n\t,;，；、]/.test(asked);
  const { value } = useAsked(isName ? asked : null, (signal) =>
    ask(api.POST("/v1/streamers:find", { body: { q: asked, limit: MOST }, signal })),
  );
  return isName && asked === wanted ? (value?.streamers ?? []) : [];
}
