import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n";
import { refused, takeKey } from "../state/session";

export function SignIn() {
  const [text, setText] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  return (
    <form
      class="sign-in"
      onSubmit={(event) => {
        event.preventDefault();
        takeKey(text.trim());
      }}
    >
      <h1>{t("key.title")}</h1>
      {refused.value ? (
        <p class="problem" role="alert">
          {t("key.refused")}
        </p>
      ) : (
        <p>{t("key.why")}</p>
      )}
      <label>
        {t("key.field")}
        <input
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          ref={field}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <p class="quiet">{t("key.kept")}</p>
      <p>
        <button type="submit" class="primary">
          {t("key.enter")}
        </button>
      </p>
    </form>
  );
}
