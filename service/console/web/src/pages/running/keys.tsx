import { useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, Failure, type Schemas } from "../../api/client";
import { t, time } from "../../i18n";
import { Dialog } from "../../parts/dialog";
import { Secret } from "../../parts/secret";
import { Empty, Loading, Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { place } from "../../state/location";
import { NextPage } from "../../parts/next_page";
import { NewKey } from "./new_key";

type Key = Schemas["KeyOut"];
type Issued = Schemas["IssuedKeyOut"];

export function KeysTable() {
  const cursor = place.value.params.get("cursor");
  const { value, failure, again } = useAsked(`keys ${cursor}`, (signal) => {
    const query = { limit: 100, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/keys", { params: { query }, signal }));
  });
  const [issued, setIssued] = useState<Issued | null>(null);
  const [leaving, setLeaving] = useState<Key | null>(null);
  const [wrong, setWrong] = useState<Failure | null>(null);
  const act = (work: Promise<Issued | unknown>): void => {
    setWrong(null);
    work.then(
      (answer) => {
        if (typeof answer === "object" && answer !== null && "key" in answer) {
          setIssued(answer as Issued);
        }
        again();
      },
      (error: unknown) =>
        setWrong(error instanceof Failure ? error : new Failure(0, "unexpected", String(error))),
    );
  };
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  return (
    <>
      <NewKey create={(body) => act(ask(api.POST("/v1/keys", { body })))} />
      {wrong && <Problem failure={wrong} />}
      {!value.keys.length && (
        <Empty title={t("run.keys.none")} remedy={t("run.keys.none.remedy")} />
      )}
      {value.keys.length > 0 && (
        <table>
          <caption class="unseen">{t("run.keys")}</caption>
          <thead>
            <tr>
              <th scope="col">{t("run.key.name")}</th>
              <th scope="col">{t("run.key.role")}</th>
              <th scope="col" class="wide">
                {t("run.key.scopes")}
              </th>
              <th scope="col">{t("run.key.used")}</th>
              <th scope="col">{t("run.key.expires")}</th>
              <th scope="col">
                <span class="unseen">{t("app.more")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {value.keys.map((key) => (
              <tr key={key.key_id}>
                <th scope="row">
                  <Words value={key.name} /> <span class="id quiet">{key.key_id}</span>
                </th>
                <td>{key.role ?? "–"}</td>
                <td class="words wide">{key.scopes.join(", ")}</td>
                <td>{key.last_used_at ? time(key.last_used_at) : t("run.key.notYet")}</td>
                <td>{key.expires_at ? time(key.expires_at) : t("run.key.never")}</td>
                <td class="actions">
                  <button type="button" onClick={() => act(rotate(key))}>
                    {t("run.key.rotate")}
                  </button>
                  <button type="button" class="danger" onClick={() => setLeaving(key)}>
                    {t("run.key.revoke")}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <NextPage next={value.next_cursor} />
      {issued && <Shown issued={issued} close={() => setIssued(null)} />}
      {leaving && (
        <Dialog
          title={t("run.key.revoke")}
          close={() => setLeaving(null)}
          actions={
            <button
              type="button"
              class="danger"
              onClick={() => {
                const path = { key_id: leaving.key_id };
                setLeaving(null);
                act(ask(api.DELETE("/v1/keys/{key_id}", { params: { path } })));
              }}
            >
              {t("run.key.revoke")}
            </button>
          }
        >
          <p class="words">{t("run.key.sure", { name: leaving.name })}</p>
        </Dialog>
      )}
    </>
  );
}

function rotate(key: Key): Promise<Issued> {
  const params = { path: { key_id: key.key_id } };
  return ask(api.POST("/v1/keys/{key_id}:rotate", { params }));
}

function Shown({ issued, close }: { issued: Issued; close: () => void }) {
  return (
    <Secret title={issued.name} secret={issued.key} close={close}>
      {issued.previous_until && <p>{t("run.key.rotated")}</p>}
    </Secret>
  );
}
