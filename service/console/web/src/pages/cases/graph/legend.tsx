/** What the shapes of a graph mean, and what the mouse rests on. */
import { contentOf, streamer } from "../../../api/profiles";
import { listed, named, number, percent, t } from "../../../i18n";
import { Words } from "../../../parts/words";
import type { Member } from "../members";
import type { Branches, Drawn } from "./branches";

export interface Rest {
  id: string | null;
  line: string | null;
}

const ALWAYS = ["seed", "undecided", "confirmed", "cleared", "unsure"] as const;

export function Legend({ hasOthers, hasFolded }: { hasOthers: boolean; hasFolded: boolean }) {
  const shapes = [
    ...ALWAYS,
    ...(hasFolded ? (["folded"] as const) : []),
    ...(hasOthers ? (["elsewhere"] as const) : []),
  ];
  return (
    <ul class="graph-legend quiet">
      {shapes.map((shape) => (
        <li key={shape}>
          <span class={`node-mark ${shape}`} aria-hidden="true" /> {t(`case.mark.${shape}`)}
        </li>
      ))}
      <li>{t("case.graph.how")}</li>
    </ul>
  );
}

export function Resting(props: {
  at: Rest;
  branches: Branches;
  drawn: Drawn;
  members: readonly Member[];
}) {
  const { id, line } = props.at;
  if (id !== null) {
    const row = props.branches.get(id)?.row;
    const member = props.members[row ?? -1];
    const name = contentOf(streamer(id).value)?.name || id;
    return (
      <>
        <Words value={name} /> <span class="id">{id}</span> {member && percent(member.probability)}
      </>
    );
  }
  const found = line === null ? undefined : props.drawn.edges.get(line);
  if (!found) return null;
  const { edge, count } = found;
  const channels = listed(edge.channels.map(({ channel }) => named("channel", channel)));
  return (
    <>
      <span class="id">{`${edge.a} – ${edge.b}`}</span> {percent(edge.probability)} {channels}
      {count > 1 && ` ${t("case.graph.surest", { n: number(count) })}`}
    </>
  );
}
