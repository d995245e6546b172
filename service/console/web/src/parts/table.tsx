/** A table whose rows end with buttons; its own name and that of their column are only read out. */
import type { ComponentChildren } from "preact";
import { t } from "../i18n";

/** The name of a column, and classes of its head: "number", "wide" (left out where it is narrow). */
type Column = string | readonly [name: string, classes: string];

export function Table(props: {
  name: string;
  columns: readonly Column[];
  children: ComponentChildren;
}) {
  return (
    <table>
      <caption class="unseen">{props.name}</caption>
      <thead>
        <tr>
          {props.columns.map((column) => {
            const [name, classes] = typeof column === "string" ? [column] : column;
            return (
              <th key={name} scope="col" class={classes}>
                {name}
              </th>
            );
          })}
          <th scope="col">
            <span class="unseen">{t("app.more")}</span>
          </th>
        </tr>
      </thead>
      <tbody>{props.children}</tbody>
    </table>
  );
}
