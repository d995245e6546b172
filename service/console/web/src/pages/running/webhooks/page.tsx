/** Webhooks: who is told what happens, how that goes, and what could not be delivered. */
import { useState } from "preact/hooks";
import { useAsked } from "../../../api/asked";
import { api, ask, type Schemas } from "../../../api/client";
import { number, t } from "../../../i18n";
import { NextPage } from "../../../parts/next_page";
import { Secret } from "../../../parts/secret";
import { Empty, Loading, Problem } from "../../../parts/states";
import { Words } from "../../../parts/words";
import { useActing, useOnce } from "../../../state/acting";
import { changed, hrefOf, place } from "../../../state/location";
import { OneWebhook } from "./one";

type Issued = Schemas["WebhookWithSecretOut"];

export function Webhooks() {
  const id = place.value.params.get("hook");
  return id ? <OneWebhook key={id} id={id} /> : <AllWebhooks />;
}

function AllWebhooks() {
  const cursor = place.value.params.get("cursor");
  const { value, failure, again } = useAsked(`webhooks ${cursor}`, (signal) => {
    const query = { limit: 50, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/webhooks", { params: { query }, signal }));
  });
  const [issued, setIssued] = useState<Issued | null>(null);
  if (!value) return failure ? <Problem failure={failure} again={again} /> : <Loading />;
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      <NewWebhook made={setIssued} again={again} />
      {!value.webhooks.length && <Empty title={t("hook.none")} remedy={t("hook.none.remedy")} />}
      {value.webhooks.length > 0 && (
        <table>
          <caption class="unseen">{t("run.webhooks")}</caption>
          <thead>
            <tr>
              <th scope="col">{t("hook.url")}</th>
              <th scope="col" class="wide">
                {t("hook.kinds")}
              </th>
              <th scope="col">{t("run.state")}</th>
              <th scope="col" class="number">
                {t("hook.due")}
              </th>
              <th scope="col" class="number wide">
                {t("hook.delivered")}
              </th>
              <th scope="col" class="number">
                {t("hook.dead")}
              </th>
            </tr>
          </thead>
          <tbody>
            {value.webhooks.map((hook) => (
              <tr key={hook.webhook_id}>
                <th scope="row">
                  <a href={hrefOf("running", changed({ hook: hook.webhook_id, cursor: null }))}>
                    <Words value={hook.url} />
                  </a>{" "}
                  <span class="quiet">
                    <Words value={hook.description} />
                  </span>
                </th>
                <td class="wide words">{hook.kinds.join(", ")}</td>
                <td>
                  <span class={hook.enabled ? "job succeeded" : "job failed"}>
                    {t(hook.enabled ? "hook.on" : "hook.off")}
                  </span>
                </td>
                <td class="number">{number(hook.due)}</td>
                <td class="number wide">{number(hook.delivered)}</td>
                <td class="number">{number(hook.dead)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <NextPage next={value.next_cursor} />
      {issued && (
        <Secret title={issued.url} secret={issued.secret} close={() => setIssued(null)}>
          <p>{t("hook.verify")}</p>
        </Secret>
      )}
    </>
  );
}

function NewWebhook(props: { made: (issued: Issued) => void; again: () => void }) {
  const [url, setUrl] = useState("");
  const [kinds, setKinds] = useState("");
  const [description, setDescription] = useState("");
  const { act, wrong, acting } = useActing();
  const once = useOnce();
  const create = (): Promise<void> =>
    act(async () => {
      const body = { url, kinds: kinds.split(/[\s,，、]+/).filter(Boolean), description };
      try {
        const made = await once(JSON.stringify(body), (key) => {
          const params = { header: { "idempotency-key": key } };
          return ask(api.POST("/v1/webhooks", { params, body }));
        });
        props.made(made);
        setUrl("");
        setKinds("");
        setDescription("");
      } finally {
        props.again();
      }
    });
  return (
    <form
      class="new-key"
      onSubmit={(event) => {
        event.preventDefault();
        void create();
      }}
    >
      <label class="wider">
        {t("hook.url")}{" "}
        <input
          type="url"
          required
          maxLength={2048}
          placeholder="https://"
          value={url}
          onInput={(event) => setUrl(event.currentTarget.value)}
        />
      </label>
      <label class="wider">
        {t("hook.kinds")}{" "}
        <input
          required
          spellcheck={false}
          placeholder="duplicates.*, watchlist.*"
          value={kinds}
          onInput={(event) => setKinds(event.currentTarget.value)}
        />
      </label>
      <label>
        {t("hook.description")}{" "}
        <input
          maxLength={500}
          value={description}
          onInput={(event) => setDescription(event.currentTarget.value)}
        />
      </label>
      <button type="submit" aria-disabled={acting}>
        {t("hook.create")}
      </button>
      {wrong && <Problem failure={wrong} />}
    </form>
  );
}
