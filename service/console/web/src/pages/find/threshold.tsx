/** The precision that is asked for: while the slider moves, the rows that would stay are counted. */
import { useState } from "preact/hooks";
import { number, percent, t } from "../../i18n";
import { canPromise, change, type Answer, type Question } from "./question";

const LOWEST = 50;
const HIGHEST = 99;

/** How many of the hits are right with this precision or more. */
export function reaching(answer: Answer, precision: number): number {
  return answer.rows.filter((hit) => (hit.precision ?? 0) >= precision).length;
}

export function Threshold(props: { question: Question; answer: Answer | null }) {
  const { question, answer } = props;
  const isPossible = canPromise(question);
  const [moving, setMoving] = useState<number | null>(null);
  const { precision } = question;
  const isAsked = precision !== null && isPossible;
  const asked = isAsked ? Math.round(precision * 100) : LOWEST - 1;
  const shown = moving ?? asked;
  const isOff = shown < LOWEST;
  const told = isOff
    ? t("find.precision.off")
    : t("find.precision.of", { percent: percent(shown / 100) });
  return (
    <div class="threshold-box">
      <label for="precision">{t("find.precision")}</label>
      <input
        id="precision"
        type="range"
        min={LOWEST - 1}
        max={HIGHEST}
        value={shown}
        disabled={!isPossible}
        aria-valuetext={told}
        onInput={(event) => setMoving(event.currentTarget.valueAsNumber)}
        onChange={(event) => {
          const value = event.currentTarget.valueAsNumber;
          setMoving(null);
          change({ precision: value < LOWEST ? null : value / 100 });
        }}
      />
      <output for="precision">{told}</output>
      {!isPossible && <span class="quiet">{t("find.precision.unlike")}</span>}
      <span class="quiet">
        {answer && note(answer, question.count, isOff ? null : shown / 100, moving)}
      </span>
    </div>
  );
}

function note(
  answer: Answer,
  count: number,
  precision: number | null,
  moving: number | null,
): string {
  if (precision !== null && moving !== null) {
    const shown = reaching(answer, precision);
    return t("find.precision.kept", { shown, all: answer.rows.length });
  }
  if (precision !== null) {
    const more = answer.rows.length < count ? "" : "+";
    return t("find.precision.found", { reached: `${number(answer.rows.length)}${more}` });
  }
  return "";
}
