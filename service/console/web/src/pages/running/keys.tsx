import { useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { t, time } from "../../i18n";
import { NextPage } from "../../parts/next_page";
import { Secret } from "../../parts/secret";
import { Empty, Loading, Problem } from "../../parts/states";
import { Sure } from "../../parts/sure";
import { Table } from "../../parts/table";
import { Words } from "../../parts/words";
import { useActing, useOnce } from "../../state/acting";
import { place } from "../../state/location";
import { NewKey } from "./new_key";

type Key = Schemas["KeyOut"];
type Issued = Schemas["IssuedKeyOut"];

interface Step {
  change: "rotate" | "revoke";
  key: Key;
}

export function KeysTable() {
  const cursor = place.value.params.get("cursor");
  const { value, failure, again, renew } = useAsked(`keys ${cursor}`, (signal) => {
    const query = { limit: 100, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/keys", { params: { query }, signal }));
  });
  const [issued, setIssued] = useState<Issued | null>(null);
  const [sure, setSure] = useState<Step | null>(null);
  const { act, wrong, forget, acting, press } = useActing();
  const once = useOnce();
  const begin = (step: Step): void => {
    forget();
    setSure(step);
  };
  const take = (step: Step): Promise<void> =>
    act(async () => {
      try {
        if (step.change === "rotate") setIssued(await rotate(step.key));
        else await revoke(step.key);
        setSure((now) => (now === step ? null : now));
      } finally {
        await renew(); // a rotation whose answer is lost shows there
      }
    });
  const rotate = ({ key_id, previous_until }: Key): Promise<Issued> =>
    once(`${key_id} ${previous_until}`, (name) => {
      const params = { path: { key_id }, header: { "idempotency-key": name } };
      return ask(api.POST("/v1/keys/{key_id}:rotate", { params }));
    });
  if (!value) return failure ? <Problem failure={failure} again={again} /> : <Loading />;
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      <NewKey made={setIssued} again={again} />
      {wrong && !sure && <Problem failure={wrong} />}
      {!value.keys.length && (
        <Empty title={t("run.keys.none")} remedy={t("run.keys.none.remedy")} />
      )}
      {value.keys.length > 0 && (
        <Table
          name={t("run.keys")}
          columns={[
            t("run.key.name"),
            t("run.key.role"),
            [t("run.key.scopes"), "wide"],
            t("run.key.used"),
            t("run.key.expires"),
          ]}
        >
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
                <button
                  {...press(async () => {
                    const step: Step = { change: "rotate", key };
                    // One text before is kept: another rotation ends what may be in use.
                    await (hasTwoTexts(key) ? begin(step) : take(step));
                  })}
                >
                  {t("run.key.rotate")}
                  <span class="unseen"> {`${key.name} ${key.key_id}`}</span>
                </button>
                <button
                  type="button"
                  class="danger"
                  disabled={acting}
                  onClick={() => begin({ change: "revoke", key })}
                >
                  {t("run.key.revoke")}
                  <span class="unseen"> {`${key.name} ${key.key_id}`}</span>
                </button>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <NextPage next={value.next_cursor} />
      {issued && <Shown issued={issued} close={() => setIssued(null)} />}
      {sure && (
        <Sure
          title={t(`run.key.${sure.change}`)}
          label={t(`run.key.${sure.change}`)}
          isActing={acting}
          wrong={wrong}
          act={() => void take(sure)}
          close={() => setSure(null)}
        >
          <p class="words">{whatOf(sure)}</p>
        </Sure>
      )}
    </>
  );
}

function hasTwoTexts({ previous_until }: Key): boolean {
  return previous_until !== null && Date.parse(previous_until) > Date.now();
}

function whatOf({ change, key }: Step): string {
  const { name, previous_until } = key;
  if (change === "revoke") return t("run.key.sure", { name });
  return t("run.key.rotate.sure", { name, time: time(previous_until!) });
}

async function revoke({ key_id }: Key): Promise<void> {
  await ask(api.DELETE("/v1/keys/{key_id}", { params: { path: { key_id } } }));
}

function Shown({ issued, close }: { issued: Issued; close: () => void }) {
  return (
    <Secret title={issued.name} secret={issued.key} close={close}>
      {issued.previous_until && <p>{t("run.key.rotated")}</p>}
    </Secret>
  );
}
