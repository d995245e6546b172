/** Rebuilds the index of the replica that answers, as a job. */
import { useState } from "preact/hooks";
import { api, ask } from "../../api/client";
import { t } from "../../i18n";
import { Problem } from "../../parts/states";
import { Sure } from "../../parts/sure";
import { useActing, useOnce } from "../../state/acting";
import { goFromHere } from "../../state/location";

export function Rebuild() {
  const [sure, setSure] = useState(false);
  const { act, wrong, forget, acting, press } = useActing();
  const once = useOnce();
  const rebuild = (): Promise<void> =>
    act(async () => {
      const go = goFromHere();
      await once("rebuild", (name) =>
        ask(api.POST("/v1/index:rebuild", { params: { header: { "idempotency-key": name } } })),
      );
      go("running", new URLSearchParams({ tab: "jobs" }));
    });
  return (
    <>
      <p class="actions">
        <button
          {...press(async () => {
            forget();
            setSure(true);
          })}
        >
          {t("run.rebuild")}
        </button>
      </p>
      {wrong && !sure && <Problem failure={wrong} />}
      {sure && (
        <Sure
          title={t("run.rebuild")}
          label={t("run.rebuild")}
          isActing={acting}
          wrong={wrong}
          act={() => void rebuild()}
          close={() => setSure(false)}
        >
          <p>{t("run.rebuild.sure")}</p>
        </Sure>
      )}
    </>
  );
}
