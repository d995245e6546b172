/** Which entries of the audit log are shown; the URL has it. */
import { useLayoutEffect, useState } from "preact/hooks";
import { t } from "../../i18n";
import { changed, go, place } from "../../state/location";

const FIELDS = ["key", "of", "from", "to"] as const;
type Fields = Record<(typeof FIELDS)[number], string>;

function fieldsOf(params: URLSearchParams): Fields {
  return Object.fromEntries(FIELDS.map((name) => [name, params.get(name) ?? ""])) as Fields;
}

/** What is asked of the service; times in this browser's zone become moments. */
export function wantedOf(params: URLSearchParams) {
  const { key, of, from, to } = fieldsOf(params);
  return {
    ...(key && { key_id: key }),
    ...(of && { streamer_id: of }),
    ...(momentOf(from) && { from: momentOf(from) }),
    ...(momentOf(to) && { to: momentOf(to) }),
  };
}

function momentOf(text: string): string {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString();
}

export function AuditFilter() {
  const { params } = place.value;
  const [fields, setFields] = useState(fieldsOf(params));
  // Before it is painted: what is typed right after is not taken back.
  useLayoutEffect(() => setFields(fieldsOf(params)), [params]);
  const input = (name: keyof Fields, type: "text" | "datetime-local") => (
    <label>
      {t(`run.audit.${name}`)}{" "}
      <input
        type={type as "text"} // all that is used of either is its value
        data-search={name === "of" ? "" : undefined}
        maxLength={128}
        spellcheck={false}
        value={fields[name]}
        onInput={(event) => {
          const { value } = event.currentTarget;
          setFields((before) => ({ ...before, [name]: value }));
        }}
      />
    </label>
  );
  return (
    <form
      class="new-key"
      onSubmit={(event) => {
        event.preventDefault();
        const trimmed = FIELDS.map((name) => [name, fields[name].trim() || null]);
        go("running", changed({ ...Object.fromEntries(trimmed), cursor: null }));
      }}
    >
      {input("key", "text")}
      {input("of", "text")}
      {input("from", "datetime-local")}
      {input("to", "datetime-local")}
      <button type="submit">{t("run.audit.filter")}</button>
    </form>
  );
}
