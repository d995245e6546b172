/** A new key: with the scopes of a team's role, or with scopes of its own. */
import { useState } from "preact/hooks";
import { api, ask, type Schemas } from "../../api/client";
import { t } from "../../i18n";
import { Problem } from "../../parts/states";
import { useActing, useOnce } from "../../state/acting";

type Body = Schemas["KeyIn"];
type Scope = NonNullable<Body["scopes"]>[number];
const ROLES = ["operations", "recommender", "antifraud", "admin"] as const;
const SCOPES: Record<Scope, true> = {
  "streamers:read": true,
  "streamers:write": true,
  search: true,
  explain: true,
  coldstart: true,
  "spaces:write": true,
  duplicates: true,
  cases: true,
  "embeddings:read": true,
  admin: true,
};
const OWN = "own";

export function NewKey(props: {
  made: (issued: Schemas["IssuedKeyOut"]) => void;
  again: () => void;
}) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<(typeof ROLES)[number] | typeof OWN>("operations");
  const [scopes, setScopes] = useState<ReadonlySet<Scope>>(new Set());
  const [until, setUntil] = useState("");
  const { act, wrong, acting } = useActing();
  const once = useOnce();
  const isOwn = role === OWN;
  const create = (): Promise<void> =>
    act(async () => {
      const body = {
        name,
        ...(isOwn ? { scopes: [...scopes] } : { role }),
        ...(until && { expires_at: new Date(`${until}T23:59:59`).toISOString() }),
      };
      try {
        const made = await once(JSON.stringify(body), (key) => {
          const params = { header: { "idempotency-key": key } };
          return ask(api.POST("/v1/keys", { params, body }));
        });
        props.made(made);
        setName("");
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
      <label>
        {t("run.key.name")}{" "}
        <input
          required
          maxLength={100}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </label>
      <label>
        {t("run.key.role")}{" "}
        <select
          value={role}
          onChange={(event) => setRole(event.currentTarget.value as typeof role)}
        >
          {ROLES.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
          <option value={OWN}>{t("run.key.own")}</option>
        </select>
      </label>
      <label>
        {t("run.key.expires")}{" "}
        <input type="date" value={until} onInput={(event) => setUntil(event.currentTarget.value)} />
      </label>
      <button type="submit" aria-disabled={acting} disabled={isOwn && !scopes.size}>
        {t("run.key.create")}
      </button>
      {isOwn && (
        <fieldset class="scopes">
          <legend>{t("run.key.scopes")}</legend>
          {(Object.keys(SCOPES) as Scope[]).map((scope) => (
            <label key={scope} class="choice">
              <input
                type="checkbox"
                checked={scopes.has(scope)}
                onChange={(event) => {
                  const next = new Set(scopes);
                  if (event.currentTarget.checked) next.add(scope);
                  else next.delete(scope);
                  setScopes(next);
                }}
              />{" "}
              {scope}
            </label>
          ))}
        </fieldset>
      )}
      {wrong && <Problem failure={wrong} />}
    </form>
  );
}
