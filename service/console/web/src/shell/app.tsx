/** The frame of every page: pages, language, colours, keys; signing in where a key is needed. */
import { useEffect, useState } from "preact/hooks";
import { t, type Text } from "../i18n";
import { FindPage } from "../pages/find/page";
import { Awaiting, later } from "./later";
import { Empty } from "../parts/states";
import { useKeys } from "../state/keyboard";
import { hrefOf, place } from "../state/location";
import { language, theme, type Theme } from "../state/preferences";
import { said } from "../state/saying";
import { hasLeft, holders, key, leave, refused } from "../state/session";
import { Help } from "./help";
import { SignIn } from "./sign_in";

const PAGES = {
  find: { title: "nav.find", show: FindPage },
  lists: { title: "nav.lists", show: later(() => import("../pages/lists/page")) },
  map: { title: "nav.map", show: later(() => import("../pages/map/page")) },
  cases: { title: "nav.cases", show: later(() => import("../pages/cases/page")) },
  alerts: { title: "nav.alerts", show: later(() => import("../pages/alerts/page")) },
  compare: { title: "nav.compare", show: later(() => import("../pages/compare/page")) },
  duplicates: { title: "nav.duplicates", show: later(() => import("../pages/duplicates/page")) },
  newcomer: { title: "nav.newcomer", show: later(() => import("../pages/newcomer/page")) },
  running: { title: "nav.running", show: later(() => import("../pages/running/page")) },
} as const satisfies Record<string, { title: Text; show: unknown }>;
type Page = keyof typeof PAGES;

function isPage(name: string): name is Page {
  return Object.hasOwn(PAGES, name);
}

export function App() {
  const [helping, setHelping] = useState(false);
  useKeys({
    "?": () => setHelping(true),
    "/": () => document.querySelector<HTMLElement>("[data-search]")?.focus(),
  });
  const { page } = place.value;
  const title = isPage(page) ? t(PAGES[page].title) : t("app.gone");
  const isOut = refused.value !== null;
  useEffect(() => {
    document.title = `${title} · ${t("app.title")}`;
  });
  return (
    <>
      <a class="skip" href="#content" onClick={focusContent}>
        {t("app.skip")}
      </a>
      <header>
        <span class="brand">{t("app.title")}</span>
        <nav aria-label={t("nav.label")}>
          {Object.entries(PAGES).map(([name, { title }]) => (
            <a href={hrefOf(name)} key={name} aria-current={name === page ? "page" : undefined}>
              {t(title)}
            </a>
          ))}
        </nav>
        <Choices help={() => setHelping(true)} />
      </header>
      <main id="content" tabIndex={-1}>
        {isOut && <SignIn />}
        {/* A key that ends takes nothing away that its holder typed; others get a page of theirs. */}
        {!hasLeft.value && (
          <div key={holders.value} hidden={isOut}>
            <Shown page={page} />
          </div>
        )}
      </main>
      <p class="toast" role="status" aria-live="polite">
        <span key={said.value}>{said.value}</span>
      </p>
      {helping && <Help close={() => setHelping(false)} />}
    </>
  );
}

function Shown({ page }: { page: string }) {
  if (!isPage(page)) {
    return (
      <>
        <h1 class="unseen">{t("app.title")}</h1>
        <Empty title={t("app.gone")} remedy={t("app.gone.remedy")} />
      </>
    );
  }
  const Content = PAGES[page].show;
  return (
    <Awaiting key={page}>
      <Content />
    </Awaiting>
  );
}

function focusContent(event: Event): void {
  event.preventDefault(); // the fragment has the place in the console
  document.getElementById("content")?.focus();
}

function Choices({ help }: { help: () => void }) {
  return (
    <div class="choices">
      <button type="button" class="plain" onClick={help}>
        {t("app.keys")} <kbd>?</kbd>
      </button>
      <button
        type="button"
        class="plain"
        title={t("app.language.label")}
        lang={language.value === "zh" ? "en" : "zh-CN"}
        onClick={() => (language.value = language.value === "zh" ? "en" : "zh")}
      >
        {t("app.language")}
      </button>
      <label>
        <span class="unseen">{t("app.theme")}</span>
        <select
          value={theme.value}
          onChange={(event) => (theme.value = event.currentTarget.value as Theme)}
        >
          {(["system", "light", "dark"] as const).map((name) => (
            <option value={name} key={name}>
              {t(`app.theme.${name}`)}
            </option>
          ))}
        </select>
      </label>
      {key.value && (
        <button type="button" class="plain" onClick={leave}>
          {t("app.leave")}
        </button>
      )}
    </div>
  );
}
