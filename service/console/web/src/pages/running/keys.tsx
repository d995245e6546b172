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
import { useActing } from "../../state/acting";
import { place } from "../../state/location";
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
  const { act, wrong, forget, acting, press } = useActing();
  const show = (made: Issued): void => {
    setIssued(made);
    again();
  };
  const rotate = (key: Key): Promise<void> =>
    act(async () => {
      const params = { path: { key_id: key.key_id } };
      show(await ask(api.POST("/v1/keys/{key_id}:rotate", { params })));
    });
  const revoke = (key: Key): Promise<void> =>
    act(async () => {
      const params = { path: { key_id: key.key_id } };
      await ask(api.DELETE("/v1/keys/{key_id}", { params }));
      setLeaving(null);
      again();
    });
  if (!value) return failure ? <Problem failure={failure} again={again} /> : <Loading />;
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      <NewKey made={show} />
      {wrong && !leaving && <Problem failure={wrong} />}
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
                <button {...press(() => rotate(key))}>
                  {t("run.key.rotate")}
                  <span class="unseen"> {`${key.name} ${key.key_id}`}</span>
                </button>
                <button
                  type="button"
                  class="danger"
                  disabled={acting}
                  onClick={() => {
                    forget();
                    setLeaving(key);
                  }}
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
      {leaving && (
        <Sure
          title={t("run.key.revoke")}
          label={t("run.key.revoke")}
          isActing={acting}
          wrong={wrong}
          act={() => void revoke(leaving)}
          close={() => setLeaving(null)}
        >
          <p class="words">{t("run.key.sure", { name: leaving.name })}</p>
        </Sure>
      )}
    </>
  );
}

function Shown({ issued, close }: { issued: Issued; close: () => void }) {
  return (
    <Secret title={issued.name} secret={issued.key} close={close}>
      {issued.previous_until && <p>{t("run.key.rotated")}</p>}
    </Secret>
  );
}
