/** Members of a case, the surest first: the twin of the graph for eyes and keyboards alike. */
import { streamer } from "../../api/profiles";
import type { Schemas } from "../../api/client";
import { percent, t } from "../../i18n";
import { Name } from "../../parts/profile";
import { isRated, RatingChoice } from "../../rating/shown";
import { Words } from "../../parts/words";

import type { RatingOf } from "../../rating/given";

/** As an answer has it, whose pairs are read as lists. */
export type Member = Omit<Schemas["CaseMemberOut"], "weakest_link" | "leaves_if"> & {
  weakest_link: string[] | null;
};
export type Verdict = Schemas["VerdictIn"]["verdict"];
export const VERDICTS = [
  ["confirmed", "y"],
  ["cleared", "n"],
  ["unsure", "u"],
] as const satisfies [Verdict, string][];

export function Members(props: {
  members: Member[];
  current: number;
  /** Of members as answers to the case's seeds, who are none themselves. */
  rating: RatingOf;
  seeds: string[];
  setCurrent: (row: number) => void;
}) {
  return (
    <table class="results members">
      <caption class="unseen">{t("case.members")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("find.who")}</th>
          <th scope="col" class="number">
            {t("case.hop")}
          </th>
          <th scope="col" class="number">
            {t("case.probability")}
          </th>
          <th scope="col" class="wide">
            {t("case.path")}
          </th>
          <th scope="col" class="wide">
            {t("case.weakest")}
          </th>
          <th scope="col">{t("case.verdict")}</th>
          {isRated(props.rating) && <th scope="col">{t("rate.column")}</th>}
        </tr>
      </thead>
      <tbody>
        {props.members.map((member, row) => (
          <tr key={member.streamer_id} class={row === props.current ? "current" : ""}>
            <th scope="row">
              <button
                type="button"
                class="name"
                data-member={row}
                aria-current={row === props.current ? "true" : undefined}
                onClick={() => props.setCurrent(row)}
                onFocus={() => props.setCurrent(row)}
              >
                <Name known={streamer(member.streamer_id).value} id={member.streamer_id} />
              </button>
              <span class="id quiet">{member.streamer_id}</span>
            </th>
            <td class="number">{member.hop}</td>
            <td class="number">{percent(member.probability)}</td>
            <td class="wide">
              <Words value={member.path.join(" → ")} />
            </td>
            <td class="wide">
              <Words value={member.weakest_link?.join(" – ") ?? "–"} />
            </td>
            <td>
              {member.verdict ? t(`case.${member.verdict.verdict}`) : "–"}
              {member.verdict?.profile_changed && (
                <span class="quiet copies">{t("case.verdict.changed")}</span>
              )}
              {member.verdict?.note && (
                <span class="quiet copies" title={member.verdict.key_name}>
                  <Words value={member.verdict.note} />
                </span>
              )}
            </td>
            {isRated(props.rating) && (
              <td>
                {props.seeds.includes(member.streamer_id) || (
                  <RatingChoice rating={props.rating} id={member.streamer_id} />
                )}
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
