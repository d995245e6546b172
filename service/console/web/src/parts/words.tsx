/** Words of others. Any script, direction and number of combining marks stays in its own box. */
interface Props {
  value: string;
  marked?: readonly string[];
}

export function Words({ value, marked = [] }: Props) {
  return (
    <bdi class="words" dir="auto">
      {marked.length ? split(value, marked).map(mark) : value}
    </bdi>
  );
}

function mark([text, isMarked]: [string, boolean]) {
  return isMarked ? <mark>{text}</mark> : text;
}

/** A text in parts, each with whether it is one of `quotes`; unmarked where none is found. */
export function split(value: string, quotes: readonly string[]): [string, boolean][] {
  const parts: [string, boolean][] = [];
  let from = 0;
  while (from < value.length) {
    const found = quotes
      .map((quote) => ({ quote, at: quote ? value.indexOf(quote, from) : -1 }))
      .filter(({ at }) => at >= 0)
      .sort((x, y) => x.at - y.at || y.quote.length - x.quote.length)[0];
    if (!found) break;
    if (found.at > from) parts.push([value.slice(from, found.at), false]);
    parts.push([found.quote, true]);
    from = found.at + found.quote.length;
  }
  if (from < value.length) parts.push([value.slice(from), false]);
  return parts;
}
