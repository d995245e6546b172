/** What a case leads to: a watchlist of its confirmed members, a file, or its end. */
import { useState } from "preact/hooks";
import { api, ask, askForFile } from "../../api/client";
import { t } from "../../i18n";
import { download } from "../../parts/download";
import { Problem } from "../../parts/states";
import { Sure } from "../../parts/sure";
import { useActing } from "../../state/acting";
import { goFromHere, hrefOf } from "../../state/location";
import { say } from "../../state/saying";

const FORMATS = ["zip", "csv", "ndjson"] as const;

export function Closing({ id, title, revision }: { id: string; title: string; revision: number }) {
  const [sure, setSure] = useState(false);
  const { act, wrong, acting } = useActing();
  const path = { case_id: id };
  const save = (format: (typeof FORMATS)[number]): Promise<void> =>
    act(async () => {
      const asked = { params: { path, query: { format } }, parseAs: "blob" } as const;
      download(`${id}.${format}`, await askForFile(api.GET("/v1/cases/{case_id}/export", asked)));
    });
  const drop = (): Promise<void> =>
    act(async () => {
      const header = { "if-match": `"${revision}"` };
      const go = goFromHere();
      await ask(api.DELETE("/v1/cases/{case_id}", { params: { path, header } }));
      say(t("case.deleted", { title }));
      go("cases");
    });
  return (
    <>
      <a class="button" href={hrefOf("alerts", new URLSearchParams({ case: id, name: title }))}>
        {t("case.watch")}
      </a>
      {FORMATS.map((format) => (
        <button key={format} type="button" disabled={acting} onClick={() => void save(format)}>
          {t("case.export", { format: format.toUpperCase() })}
        </button>
      ))}
      <button type="button" class="danger" onClick={() => setSure(true)}>
        {t("case.delete")}
      </button>
      {wrong && !sure && <Problem failure={wrong} />}
      {sure && (
        <Sure
          title={t("case.delete.sure", { title })}
          label={t("case.delete")}
          isActing={acting}
          wrong={wrong}
          act={() => void drop()}
          close={() => setSure(false)}
        >
          <p>{t("case.delete.what")}</p>
        </Sure>
      )}
    </>
  );
}
