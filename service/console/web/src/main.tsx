import { render } from "preact";
import "./style/base.css";
import "./style/layout.css";
import "./style/parts.css";
import "./style/cases.css";
import "./style/tables.css";
import "./style/map.css";
import "./style/plots.css";
import { App } from "./shell/app";

const root = document.getElementById("console");
if (root) render(<App />, root);
